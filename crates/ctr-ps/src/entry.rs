//! One container as it is shown.

use std::time::Duration;

use ctr_cli::human;
use ctr_core::container::{
    Container, ContainerError, ExitStatus, ImageRecord, IsolationRecord, LogMode, State, Status,
};
use ctr_core::timestamp::Timestamp;
use serde::Serialize;

use crate::live::Live;
use crate::stats::InForce;

/// Characters of an id that the table shows.
const ID_SHOWN: usize = 12;
/// Characters of a command that the table shows.
const COMMAND_SHOWN: usize = 24;

/// A container and its status at the moment of the look.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) container: Container,
    pub(crate) status: Status,
}

/// What `--format json` prints of a container (spec/schemas/ps.json). Every key is always there; what is not known is null.
#[derive(Debug, Serialize)]
pub(crate) struct Json<'a> {
    id: &'a str,
    name: Option<&'a str>,
    image: Option<&'a ImageRecord>,
    /// The bundle, of a container that an engine had made of one.
    bundle: Option<&'a str>,
    command: &'a [String],
    state: State,
    pid: Option<i32>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// `{"code": 3}` or `{"signal": 9}`.
    exit: Option<ExitStatus>,
    /// What `ctr-run --wait` would return for it.
    exit_code: Option<u8>,
    reason: Option<&'static str>,
    labels: &'a std::collections::BTreeMap<String, String>,
    stop_signal: String,
    stop_timeout: u64,
    log: LogMode,
    init: bool,
    rm: bool,
    cgroups: &'a [String],
    directory: String,
    /// As decided at the start.
    isolation: &'a IsolationRecord,
    /// As the kernel has it for the program now.
    live: Option<Live>,
    /// What the control groups hold now.
    limits: Option<InForce>,
}

impl Entry {
    /// Looks at `container`.
    pub(crate) fn look(container: Container) -> Result<Self, ContainerError> {
        let status = container.status()?;
        Ok(Self { container, status })
    }

    /// The cells of the table, in the order of its head; `full` shortens nothing.
    pub(crate) fn cells(&self, full: bool) -> [String; 8] {
        let (record, status) = (&self.container.record, &self.status);
        let image = match (&record.image, &record.bundle) {
            (Some(image), _) => image.name.clone().unwrap_or_else(|| image.digest.short()),
            (None, bundle) => bundle.clone().unwrap_or_default(),
        };
        let command = record.command.join(" ");
        [
            if full { record.id.clone() } else { cut(&record.id, ID_SHOWN, "") },
            record.name.clone().unwrap_or_default(),
            image,
            if full { command } else { cut(&command, COMMAND_SHOWN, "…") },
            status.state.name().to_owned(),
            status.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            human::ago(age(record.created_at)),
            self.ending(),
        ]
    }

    /// The cells of the table of what holds the container in; `full` shortens nothing.
    pub(crate) fn isolation_cells(&self, full: bool) -> [String; 8] {
        let record = &self.container.record;
        let isolation = &record.isolation;
        let ids = if isolation.uid_map == isolation.gid_map {
            isolation.uid_map.join(",")
        } else {
            format!("{}; groups {}", isolation.uid_map.join(","), isolation.gid_map.join(","))
        };
        let names: Vec<&str> =
            isolation.capabilities.iter().map(|name| name.strip_prefix("CAP_").unwrap_or(name)).collect();
        [
            if full { record.id.clone() } else { cut(&record.id, ID_SHOWN, "") },
            record.name.clone().unwrap_or_default(),
            format!("{} {ids}", isolation.userns).trim_end().to_owned(),
            isolation.namespaces.join(" "),
            isolation.network.clone(),
            if full { names.join(" ") } else { names.len().to_string() },
            if isolation.no_new_privileges {
                format!("{}, no new privileges", isolation.seccomp)
            } else {
                isolation.seccomp.clone()
            },
            if isolation.read_only { "read-only" } else { "writable" }.to_owned(),
        ]
    }

    /// `3 (5 minutes ago)`, `SIGKILL, out of memory (2 days ago)`, `host restarted`.
    fn ending(&self) -> String {
        let status = &self.status;
        let how = status.exit.map(|exit| match exit {
            ExitStatus::Code(code) => code.to_string(),
            ExitStatus::Signal(signal) => ctr_sys::signal::name(i32::from(signal)),
        });
        let parts: Vec<String> = how.into_iter().chain(status.reason.map(str::to_owned)).collect();
        match status.finished_at {
            Some(at) => format!("{} ({})", parts.join(", "), human::ago(age(at))),
            None => parts.join(", "),
        }
    }

    /// What is printed as JSON; looks at the running program.
    pub(crate) fn to_json(&self) -> Json<'_> {
        let (record, status) = (&self.container.record, &self.status);
        Json {
            id: &record.id,
            name: record.name.as_deref(),
            image: record.image.as_ref(),
            bundle: record.bundle.as_deref(),
            command: &record.command,
            state: status.state,
            pid: status.pid,
            created_at: record.created_at,
            started_at: status.started_at,
            finished_at: status.finished_at,
            exit: status.exit,
            exit_code: status.exit.map(ExitStatus::exit_code),
            reason: status.reason,
            labels: &record.labels,
            stop_signal: ctr_sys::signal::name(record.stop_signal),
            stop_timeout: record.stop_timeout,
            log: record.log,
            init: record.init,
            rm: record.rm,
            cgroups: &record.cgroups,
            directory: self.container.dir.display().to_string(),
            isolation: &record.isolation,
            limits: (status.state == State::Running).then(|| InForce::of(&self.container)),
            live: if status.pid.is_some() { Live::of(&self.container) } else { None },
        }
    }
}

fn age(at: Timestamp) -> Duration {
    Duration::from_nanos(Timestamp::now().0.saturating_sub(at.0))
}

fn cut(text: &str, length: usize, mark: &str) -> String {
    match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}{mark}", text.get(..at).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ctr_core::container::{ContainerRecord, Place};
    use ctr_core::digest::Digest;

    /// A container that ended with code 3 just now.
    pub(crate) fn entry() -> Entry {
        let record = ContainerRecord {
            version: 1,
            id: "0123456789abcdef0123".into(),
            name: Some("web".into()),
            image: Some(ImageRecord { name: Some("docker.io/library/debian:12".into()), digest: Digest::of(b"") }),
            bundle: None,
            layers: Vec::new(),
            command: vec!["sh".into(), "-c".into(), "while true; do sleep 1; done".into()],
            created_at: Timestamp::now(),
            hostname: String::new(),
            labels: [("team".to_owned(), "a=b".to_owned())].into(),
            stop_signal: 15,
            stop_timeout: 10,
            log: LogMode::File,
            tty: false,
            stdin: false,
            journal: None,
            init: true,
            rm: false,
            cgroups: Vec::new(),
            volumes: Vec::new(),
            mounted_images: Vec::new(),
            isolation: IsolationRecord::default(),
        };
        let status = Status {
            state: State::Exited,
            pid: None,
            started_at: Some(Timestamp::now()),
            finished_at: Some(Timestamp::now()),
            exit: Some(ExitStatus::Code(3)),
            reason: None,
        };
        Entry { container: Container { dir: "/r/containers/run/0".into(), place: Place::Run, record }, status }
    }

    #[test]
    fn cells_are_short_and_full_on_demand() {
        let mut entry = entry();
        assert_eq!(
            entry.cells(false),
            [
                "0123456789ab",
                "web",
                "docker.io/library/debian:12",
                "sh -c while true; do sle…",
                "exited",
                "",
                "just now",
                "3 (just now)"
            ]
        );
        entry.status.exit = Some(ExitStatus::Signal(9));
        entry.status.reason = Some("out of memory");
        let full = entry.cells(true);
        assert_eq!((full[0].as_str(), full[7].as_str()), ("0123456789abcdef0123", "SIGKILL, out of memory (just now)"));
    }

    #[test]
    fn isolation_is_told_in_words() {
        let mut entry = entry();
        let isolation = &mut entry.container.record.isolation;
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        (isolation.userns, isolation.network, isolation.seccomp) = ("auto".into(), "none".into(), "default".into());
        (isolation.uid_map, isolation.gid_map) = (words(&["0:7:65536"]), words(&["0:7:65536"]));
        (isolation.namespaces, isolation.capabilities) = (words(&["mnt", "user"]), words(&["CAP_KILL", "CAP_CHOWN"]));
        let cells = |entry: &Entry, full| entry.isolation_cells(full)[2..].join("|");
        assert_eq!(cells(&entry, false), "auto 0:7:65536|mnt user|none|2|default|writable");
        entry.container.record.isolation.gid_map = words(&["0:9:5"]);
        entry.container.record.isolation.no_new_privileges = true;
        let full = "auto 0:7:65536; groups 0:9:5|mnt user|none|KILL CHOWN|default, no new privileges|writable";
        assert_eq!(cells(&entry, true), full);
        entry.container.record.isolation.userns = "host".into();
        (entry.container.record.isolation.uid_map, entry.container.record.isolation.gid_map) = (vec![], vec![]);
        assert!(cells(&entry, false).starts_with("host|"));
    }

    #[test]
    fn json_has_every_key() {
        let mut entry = entry();
        (entry.container.record.name, entry.status.exit) = (None, Some(ExitStatus::Signal(15)));
        let json = serde_json::to_value(entry.to_json()).unwrap();
        assert_eq!(json["exit"], serde_json::json!({"signal": 15}));
        assert_eq!(json["exit_code"], 143);
        assert_eq!(json["stop_signal"], "SIGTERM");
        assert_eq!(json["state"], State::Exited.name());
        for key in ["name", "pid", "reason", "live", "limits"] {
            assert_eq!(json.get(key), Some(&serde_json::Value::Null), "{key}");
        }
    }

    #[test]
    fn the_words_of_the_table_are_those_of_json() {
        for state in [State::Embryo, State::Prepared, State::Running, State::Exited, State::Killed, State::Unknown] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 2, "…"), "äö…");
        assert_eq!(cut("äöü", 3, "…"), "äöü");
    }
}
