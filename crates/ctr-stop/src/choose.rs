//! Which containers a command is about, by name or by what they are. One whose record is damaged can be stopped and removed too.

use ctr_cli::Failure;
use ctr_core::container::{Container, ContainerError, Containers, State, Status};

use crate::failure;

/// The containers with these names, each once.
pub fn named(containers: &Containers, names: &[String], mut failed: impl FnMut(ContainerError)) -> Vec<Container> {
    let mut found: Vec<Container> = Vec::with_capacity(names.len());
    for name in names {
        let container = containers.find(name).or_else(|error| {
            let salvaged = containers.salvage(&error).ok_or(error)?;
            ctr_cli::warn(format!(
                "the record of container {} is damaged: the defaults stand for it",
                salvaged.record.id
            ));
            Ok(salvaged)
        });
        match container {
            Ok(container) if found.iter().any(|other| other.record.id == container.record.id) => {}
            Ok(container) => found.push(container),
            Err(error) => failed(error),
        }
    }
    found
}

/// The containers that `takes` wants; with `damaged` also those that run and whose record cannot be read, which otherwise are
/// a failure: nobody can tell whether they were meant.
pub fn matching(
    containers: &Containers,
    takes: impl Fn(&Container, &Status) -> bool,
    damaged: bool,
    mut failed: impl FnMut(&Failure),
) -> Result<Vec<Container>, Failure> {
    let (found, unreadable) = containers.scan().map_err(failure)?;
    let mut chosen = Vec::new();
    for error in unreadable {
        match containers.salvage(&error).filter(|_| damaged) {
            Some(container) if container.status().is_ok_and(|status| status.state == State::Running) => {
                ctr_cli::warn(error.to_string());
                chosen.push(container);
            }
            _ => failed(&failure(error)),
        }
    }
    for container in found {
        match container.status() {
            Ok(status) if takes(&container, &status) => chosen.push(container),
            Ok(_) => {}
            Err(error) => failed(&failure(error)),
        }
    }
    Ok(chosen)
}
