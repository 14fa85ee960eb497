//! Security modules of this host: which are in force, and what a program is to be labelled.

use std::path::Path;

use crate::options::SecurityOptions;
use crate::plan::LsmFacts;

/// Looks only for what `options` ask for.
pub(crate) fn facts(options: &SecurityOptions) -> LsmFacts {
    LsmFacts {
        apparmor: options.apparmor.is_some()
            && read("/sys/module/apparmor/parameters/enabled").is_some_and(|text| text.starts_with('Y')),
        // Our own context has the level that a container begins with.
        selinux: if options.selinux.is_some() && Path::new("/sys/fs/selinux/enforce").exists() {
            read("/proc/self/attr/current")
        } else {
            None
        },
    }
}

fn read(path: &str) -> Option<String> {
    let bytes = ctr_sys::small::read(Path::new(path), 4095).ok()??;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\0']).to_owned())
}
