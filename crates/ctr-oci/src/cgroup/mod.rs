//! stub
use crate::args::{Global, NewContainer};
use crate::config::Config;
use crate::id::ContainerId;
use crate::state::States;
use ctr_cli::Failure;
use ctr_sandbox::bundle::JoinedGroups;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
/// stub
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CgroupRecord {
    #[serde(default)]
    dirs: Vec<PathBuf>,
}
impl CgroupRecord {
    /// stub
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }
}
/// stub
#[derive(Debug, Default)]
pub struct Groups {
    dirs: Vec<PathBuf>,
}
impl Groups {
    /// s
    pub fn record(&self) -> CgroupRecord {
        CgroupRecord { dirs: self.dirs.clone() }
    }
    /// s
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }
    /// s
    pub fn take_joined(&mut self) -> JoinedGroups {
        JoinedGroups::default()
    }
    /// s
    pub fn keep(&mut self) {}
}
pub(crate) fn make(_: &Global, _: &States, _: &ContainerId, _: &Config, _: &NewContainer) -> Result<Groups, Failure> {
    Ok(Groups::default())
}
pub(crate) fn kill_all(_: &CgroupRecord) -> Result<(), Failure> {
    Ok(())
}
pub(crate) fn remove(_: &CgroupRecord) -> Result<(), Failure> {
    Ok(())
}
/// stub
pub mod freeze {
    /// s
    pub fn is_frozen(_: &[std::path::PathBuf]) -> bool {
        false
    }
}
