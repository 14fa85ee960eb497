//! A connection to a service manager of systemd (org.freedesktop.systemd1(5)): its private socket, else the message bus.

use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::CgroupError;
use super::wire::{self, Call, Message, Properties, Writer};

/// How long systemd may take for one job.
const JOB_TIME: Duration = Duration::from_secs(30);

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const SERVICE: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Messages are addressed: others are on the same bus.
    shared: bool,
    /// Signals that came while an answer was waited for.
    signals: Vec<Message>,
    end: Instant,
}

/// Where the service manager of the host, or that of the user, listens; whether others are there too.
fn sockets(user: bool) -> Vec<(PathBuf, bool)> {
    if !user {
        return vec![("/run/systemd/private".into(), false), ("/run/dbus/system_bus_socket".into(), true)];
    }
    let mut sockets = Vec::new();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    sockets.extend(runtime.iter().map(|dir| (dir.join("systemd/private"), false)));
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let path = address.split(';').find_map(|one| one.strip_prefix("unix:path=")?.split(',').next().map(PathBuf::from));
    sockets.extend(path.or_else(|| Some(runtime?.join("bus"))).map(|path| (path, true)));
    sockets
}

fn failed(what: &str, error: &std::io::Error) -> CgroupError {
    CgroupError::systemd("talk to systemd", format!("{what}: {error}"))
}

impl Bus {
    pub(super) fn connect(user: bool) -> Result<Self, CgroupError> {
        let mut why = String::from("$XDG_RUNTIME_DIR is not set");
        for (path, shared) in sockets(user) {
            match Self::connect_to(&path, shared) {
                Ok(bus) => return Ok(bus),
                Err(error) => why = format!("{}: {error}", path.display()),
            }
        }
        Err(CgroupError::systemd("connect to systemd", why).hinted(
            "the systemd driver needs systemd as the host's service manager, and for a user a session of his own (loginctl \
             enable-linger); without it leave --systemd-cgroup out",
        ))
    }

    fn connect_to(path: &std::path::Path, shared: bool) -> Result<Self, CgroupError> {
        let stream = UnixStream::connect(path).map_err(|error| failed("connect", &error))?;
        let mut bus = Self { stream, serial: 0, shared, signals: Vec::new(), end: Instant::now() + JOB_TIME };
        bus.authenticate().map_err(|error| failed("authenticate", &error))?;
        if shared {
            bus.call_bus("Hello", "", Writer::default())?;
            let mut rule = Writer::default();
            rule.str("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
            bus.call_bus("AddMatch", "s", rule)?;
            bus.call("Subscribe", "", Writer::default())?;
        }
        Ok(bus)
    }

    /// By the credentials of the socket alone: in a user namespace the number that we know is not the one that the other side
    /// sees (D-Bus Specification, "EXTERNAL").
    ///
    /// All in one write, as sd-bus itself does it: systemd 252 forgets a first message that comes together with BEGIN until
    /// something else comes.
    fn authenticate(&mut self) -> std::io::Result<()> {
        self.limit_time()?;
        self.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let mut answer = self.line()?;
        if answer.starts_with("DATA") {
            answer = self.line()?;
        }
        if answer.starts_with("OK") {
            return Ok(());
        }
        Err(std::io::Error::other(format!("it says {:?}", answer.trim_end())))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') && line.len() < 512 {
            self.stream.read_exact(&mut byte)?;
            line.extend_from_slice(&byte);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn limit_time(&self) -> std::io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left))?;
        self.stream.set_write_timeout(Some(left))
    }

    fn receive(&mut self) -> Result<Message, CgroupError> {
        let read = |bus: &mut Self, bytes: &mut [u8]| {
            bus.limit_time().and_then(|()| bus.stream.read_exact(bytes)).map_err(|error| match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => CgroupError::Timeout {
                    action: "have an answer of systemd".to_owned(),
                    seconds: JOB_TIME.as_secs(),
                    hint: None,
                },
                _ => failed("read", &error),
            })
        };
        let mut head = [0; 16];
        read(self, &mut head)?;
        let mut bytes = vec![0; wire::length(&head)?];
        let (first, rest) = bytes.split_at_mut_checked(16).ok_or_else(wire::broken)?;
        first.copy_from_slice(&head);
        read(self, rest)?;
        Message::decode(&bytes)
    }

    fn send(&mut self, call: Call<'_>) -> Result<Message, CgroupError> {
        self.serial += 1;
        let (serial, member) = (self.serial, call.member.to_owned());
        let bytes = call.encode(serial);
        self.limit_time().and_then(|()| self.stream.write_all(&bytes)).map_err(|error| failed("write", &error))?;
        loop {
            let message = self.receive()?;
            match message.kind {
                2 if message.reply_to == serial => return Ok(message),
                3 if message.reply_to == serial => {
                    let text = message.reader().str().unwrap_or_default().to_owned();
                    return Err(CgroupError::systemd(format!("do {member}"), format!("{text} ({})", message.error)));
                }
                4 => self.signals.push(message),
                _ => {}
            }
        }
    }

    fn call_bus(&mut self, member: &str, signature: &str, body: Writer) -> Result<Message, CgroupError> {
        let name = "org.freedesktop.DBus";
        self.send(Call {
            destination: Some(name),
            path: "/org/freedesktop/DBus",
            interface: name,
            member,
            signature,
            body,
        })
    }

    /// Calls a method of the manager.
    fn call(&mut self, member: &str, signature: &str, body: Writer) -> Result<Message, CgroupError> {
        let destination = self.shared.then_some(SERVICE);
        self.send(Call { destination, path: PATH, interface: MANAGER, member, signature, body })
    }

    /// Starts a unit that is not in any file, and waits until it is active.
    pub(super) fn start_transient(&mut self, unit: &str, properties: &Properties) -> Result<(), CgroupError> {
        let mut body = Writer::default();
        body.str(unit).str("replace").properties(properties).nothing();
        let answer = self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", body)?;
        self.wait_for(&answer, &format!("start {unit}"))
    }

    /// Stops a unit and waits until it has ended; one that is not there is no error.
    pub(super) fn stop(&mut self, unit: &str) -> Result<(), CgroupError> {
        let mut body = Writer::default();
        body.str(unit).str("replace");
        match self.call("StopUnit", "ss", body) {
            Ok(answer) => self.wait_for(&answer, &format!("stop {unit}")),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Forgets that a unit failed, so that its name is free again.
    pub(super) fn reset_failed(&mut self, unit: &str) -> Result<(), CgroupError> {
        let mut body = Writer::default();
        body.str(unit);
        match self.call("ResetFailedUnit", "s", body) {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Changes properties until the next boot.
    pub(super) fn set_properties(&mut self, unit: &str, properties: &Properties) -> Result<(), CgroupError> {
        let mut body = Writer::default();
        body.str(unit).bool(true).properties(properties);
        self.call("SetUnitProperties", "sba(sv)", body).map(drop)
    }

    /// Waits for the end of the job that an answer names.
    fn wait_for(&mut self, answer: &Message, what: &str) -> Result<(), CgroupError> {
        let job = answer.reader().str()?.to_owned();
        loop {
            let message = match self.signals.pop() {
                Some(message) => message,
                None => self.receive()?,
            };
            if message.kind != 4 || message.member != "JobRemoved" {
                continue;
            }
            let mut body = message.reader();
            let (_, path, _, result) = (body.u32()?, body.str()?, body.str()?, body.str()?);
            if path == job {
                return match result {
                    "done" | "skipped" => Ok(()),
                    result => Err(CgroupError::systemd(what, format!("the job ended with \"{result}\""))
                        .hinted("systemctl status and journalctl tell more")),
                };
            }
        }
    }
}

/// Whether systemd knows no such unit.
fn is_missing(error: &CgroupError) -> bool {
    matches!(error, CgroupError::Systemd { reason, .. } if reason.ends_with("(org.freedesktop.systemd1.NoSuchUnit)"))
}

/// Whether there is a unit of that name already.
pub(super) fn is_there(error: &CgroupError) -> bool {
    matches!(error, CgroupError::Systemd { reason, .. } if reason.ends_with("(org.freedesktop.systemd1.UnitExists)"))
}
