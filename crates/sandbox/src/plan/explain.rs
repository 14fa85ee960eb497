//! The plan in words, for `--explain`.

use std::fmt;

use super::{BindPlan, Plan, PlannedMount, SeccompPlan, Shown, TmpfsPlan};
use crate::idmap::Extent;
use crate::options::{Atime, PropagationKind, SecretPlace, Timezone};

impl Plan {
    fn explain_userns(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let userns = &self.userns;
        let extents = |extents: &[Extent]| {
            let line = |e: &Extent| format!("{}:{}:{}", e.inside, e.outside, e.count);
            extents.iter().map(line).collect::<Vec<_>>().join(",")
        };
        write!(f, "user ids    {} ({}): ", userns.mode.name(), userns.why)?;
        if !userns.is_own() {
            return writeln!(f, "container ids are those outside");
        }
        if userns.wants_range {
            writeln!(f, "a free range of host ids is taken at the start")?;
        } else {
            writeln!(f, "uids {}; gids {}", extents(&userns.map.uids), extents(&userns.map.gids))?;
        }
        let how = if userns.idmapped { "by idmapped mounts" } else { "as they are, because the ids are the same" };
        writeln!(f, "            files of layers and volumes are shown {how}")?;
        let is_given = |mount: &PlannedMount| matches!(&mount.shown, Shown::Bind(bind) if userns.idmapped && bind.idmap && !mount.read_only);
        for mount in self.mounts.iter().filter(|mount| is_given(mount)) {
            writeln!(
                f,
                "            root of the container writes files of the host's root at {}",
                quoted(&mount.target)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "container   {}{}",
            self.id,
            self.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default()
        )?;
        writeln!(
            f,
            "image       {}{}",
            self.image.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default(),
            self.image.digest
        )?;
        let storage = if self.rootfs.volatile { ", not synced because it is removed at its end" } else { "" };
        let writable = if self.rootfs.read_only { "read-only" } else { "writable" };
        writeln!(f, "rootfs      overlay of {} layers, {writable}{storage}; nodev", self.rootfs.layers.len())?;
        writeln!(f, "namespaces  {}", self.namespaces.join(" "))?;
        for join in &self.joins {
            writeln!(f, "joined      {} of {}", join.kind, join.from)?;
        }
        self.explain_userns(f)?;
        writeln!(
            f,
            "network     {}",
            match self.network.as_str() {
                "none" => "its own, loopback only",
                "host" => "the host's",
                other => other,
            }
        )?;
        writeln!(f, "hostname    {}", self.hostname)?;
        self.explain_kernel(f)?;
        for mount in &self.mounts {
            writeln!(f, "mount       {mount}")?;
        }
        for secret in &self.secrets {
            match &secret.place {
                SecretPlace::File { target, uid, gid, mode } => {
                    writeln!(
                        f,
                        "secret      {} at {}, owner {uid}:{gid}, mode {mode:04o}",
                        secret.name,
                        quoted(target)
                    )?;
                }
                SecretPlace::Env { variable } => writeln!(f, "secret      {} in ${variable}", secret.name)?,
            }
        }
        for device in &self.devices {
            let number = format!("{} {}:{} {}", device.kind, device.major, device.minor, device.access);
            writeln!(f, "device      {} = host {} ({number})", quoted(&device.path), quoted(&device.source))?;
        }
        for rule in &self.device_rules {
            writeln!(f, "devices     may use {rule}")?;
        }
        let none = |paths: &[String]| if paths.is_empty() { "nothing".to_owned() } else { paths.join(" ") };
        writeln!(f, "hidden      {}", none(&self.masked_paths))?;
        writeln!(f, "read-only   {}", none(&self.read_only_paths))?;
        self.explain_process(f)?;
        self.explain_cgroups(f)?;
        if self.streams.tty {
            writeln!(f, "terminal    its own{}", if self.streams.stdin { ", with input" } else { ", without input" })?;
        } else if self.streams.stdin {
            writeln!(
                f,
                "input       {}",
                if self.streams.attached { "the caller's" } else { "from whoever attaches" }
            )?;
        }
        writeln!(
            f,
            "output      {}",
            match self.log {
                ctr_core::container::LogMode::File if self.streams.tty => {
                    "while nobody is attached: log files in the container's directory (ctr-logs)"
                }
                ctr_core::container::LogMode::File => "log files in the container's directory (ctr-logs)",
                ctr_core::container::LogMode::Inherit => "the caller's",
                ctr_core::container::LogMode::None => "dropped",
            }
        )?;
        writeln!(f, "init        {}", if self.init { "ctr's, as PID 1" } else { "none: the program is PID 1" })?;
        let signal = ctr_sys::signal::name(self.stop_signal);
        writeln!(f, "stop        {signal}, after {} s SIGKILL to all", self.stop_timeout)?;
        if let Some(time) = self.timeout_ms.map(std::time::Duration::from_millis) {
            writeln!(f, "timeout     {}, then stop", ctr_core::quantity::format_duration(time))?;
        }
        for note in &self.notes {
            writeln!(f, "note        {note}")?;
        }
        Ok(())
    }
}

impl Plan {
    fn explain_process(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = &self.process;
        writeln!(f, "program     {}", process.args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" "))?;
        writeln!(f, "in          {}", process.cwd)?;
        let user = if process.user.is_empty() { "0 (the image names none)" } else { &process.user };
        writeln!(f, "as          {user}; names are looked up in the image; umask {:03o}", process.umask)?;
        for variable in &process.env {
            writeln!(f, "env         {}", quoted(variable))?;
        }
        if process.home_from_passwd {
            writeln!(f, "env         HOME from the image's passwd")?;
        }
        let none = process.capabilities.is_empty();
        writeln!(f, "may         {}", if none { "nothing".to_owned() } else { process.capabilities.join(" ") })?;
        writeln!(
            f,
            "seccomp     {}",
            match (process.seccomp, &process.seccomp_profile, &process.filter) {
                (SeccompPlan::Default, ..) => "ctr's default profile".to_owned(),
                (SeccompPlan::Unconfined, ..) => "none".to_owned(),
                (SeccompPlan::Profile, path, filter) => format!(
                    "the profile {}, {} instructions",
                    quoted(path.as_deref().unwrap_or_default()),
                    filter.as_ref().map_or(0, |filter| filter.code.len())
                ),
            }
        )?;
        if let Some(profile) = &process.apparmor {
            writeln!(f, "apparmor    {}", quoted(profile))?;
        }
        if let Some(context) = &process.selinux {
            writeln!(f, "selinux     {}", quoted(context))?;
        }
        writeln!(
            f,
            "new privs   {}",
            if process.no_new_privileges { "never (no_new_privs)" } else { "by set-user-ID programs of the image" }
        )?;
        if process.keep_groups {
            writeln!(f, "groups      the caller's own stay")?;
        }
        self.explain_scheduling(f)?;
        for limit in &process.rlimits {
            let word = |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
            writeln!(f, "ulimit      {} {}:{}", limit.resource, word(limit.soft), word(limit.hard))?;
        }
        Ok(())
    }

    fn explain_kernel(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = &self.kernel;
        if let Some(name) = &kernel.domainname {
            writeln!(f, "domainname  {name}")?;
        }
        for sysctl in &kernel.sysctls {
            writeln!(f, "sysctl      {} = {}", sysctl.name(), quoted(&sysctl.value))?;
        }
        if let Some(clocks) = kernel.clocks {
            for (clock, offset) in [("monotonic", clocks.monotonic), ("boottime", clocks.boottime)] {
                if let Some(nanos) = offset {
                    writeln!(f, "clock       {clock} is {nanos} ns ahead of the host's")?;
                }
            }
        }
        match &kernel.timezone {
            Some(Timezone::Local) => writeln!(f, "time zone   the host's"),
            Some(Timezone::Zone(name)) => writeln!(f, "time zone   {name}, by the host's database"),
            None => Ok(()),
        }
    }

    fn explain_scheduling(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheduling = &self.process.scheduling;
        let number = |value: Option<i32>| value.map(|value| value.to_string());
        let lines = [
            ("oom score  ", number(scheduling.oom_score_adj)),
            ("scheduler  ", scheduling.scheduler.map(|scheduler| scheduler.to_string())),
            ("nice       ", number(scheduling.nice)),
            ("io priority", scheduling.io.map(|io| io.to_string())),
            ("on CPUs    ", scheduling.cpus.as_ref().map(ToString::to_string)),
            ("personality", scheduling.personality.map(|persona| format!("0x{persona:07x}"))),
        ];
        for (name, value) in lines {
            if let Some(value) = value {
                writeln!(f, "{name} {value}")?;
            }
        }
        Ok(())
    }

    fn explain_cgroups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.cgroups.groups {
            let version = if group.v2 { "v2" } else { "v1" };
            write!(f, "cgroup      {}/{} ({version})", group.hierarchy, group.path)?;
            for write in &group.writes {
                write!(f, " {}={:?}", write.file, write.value)?;
            }
            writeln!(f)?;
            if group.delegate {
                writeln!(f, "            the container makes groups below it")?;
            }
            for rule in &group.devices {
                writeln!(f, "may use     device {rule}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for PlannedMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.target)?;
        match &self.shown {
            Shown::Proc => write!(f, "proc"),
            Shown::Sysfs => write!(f, "sysfs"),
            Shown::HostSys { .. } => write!(f, "the host's /sys"),
            Shown::HostProc { .. } => write!(f, "the host's /proc"),
            Shown::HostDir { source } => write!(f, "the host's {source}"),
            Shown::Dev => write!(f, "tmpfs with the devices below"),
            Shown::Devpts => write!(f, "devpts"),
            Shown::Mqueue => write!(f, "mqueue"),
            Shown::Cgroup2 => write!(f, "cgroup2"),
            Shown::Tmpfs(tmpfs) => write!(f, "{tmpfs}"),
            Shown::Bind(bind) => write!(f, "{bind}"),
            Shown::Volume { name, copy, bind } => write!(f, "volume {name}{}, {bind}", filled(*copy)),
            Shown::Anonymous { copy, .. } => write!(f, "volume that goes with the container{}", filled(*copy)),
            Shown::Image(image) => {
                write!(f, "image {} ({}), {} layers", quoted(&image.image), image.digest, image.layers.len())
            }
            Shown::Generated { file } => write!(f, "generated {file}"),
        }?;
        let flags = [(self.read_only, "ro"), (self.nosuid, "nosuid"), (self.nodev, "nodev"), (self.noexec, "noexec")];
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            write!(f, " {name}")?;
        }
        let more = [(self.nodiratime, " nodiratime"), (self.nosymfollow, " nosymfollow")];
        more.iter().filter(|(set, _)| *set).try_for_each(|(_, name)| f.write_str(name))?;
        match self.atime {
            Some(Atime::Relatime) => f.write_str(" relatime"),
            Some(Atime::Noatime) => f.write_str(" noatime"),
            Some(Atime::Strictatime) => f.write_str(" strictatime"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TmpfsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tmpfs")?;
        if let Some(size) = self.size {
            write!(f, " of {size} bytes")?;
        }
        write!(f, ", mode {:04o}", self.mode)?;
        if (self.uid, self.gid) != (0, 0) {
            write!(f, ", owner {}:{}", self.uid, self.gid)?;
        }
        f.write_str(filled(self.copy_up))
    }
}

impl fmt::Display for BindPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.recursive { " with the mounts below it" } else { "" };
        let ids = if self.idmap { ", ids as on the disk" } else { "" };
        let sealed = if self.sealed { ", under an overlay without an upper layer" } else { "" };
        write!(f, "host {}{below}{ids}{sealed}", quoted(&self.source))?;
        match self.propagation {
            PropagationKind::Private => Ok(()),
            other => write!(f, ", {}", other.name()),
        }
    }
}

fn filled(copy: bool) -> &'static str {
    if copy { ", filled from the image while empty" } else { "" }
}

/// As a shell would take it; control characters escaped, because it is printed to terminals.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b));
    if plain { text.to_owned() } else { format!("'{}'", text.escape_debug().to_string().replace('\'', "'\\''")) }
}
