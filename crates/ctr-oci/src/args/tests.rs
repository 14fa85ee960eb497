use std::time::Duration;

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(std::iter::once("ctr-oci").chain(line.split_whitespace()))
}

fn verb(line: &str) -> Verb {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).verb
}

#[test]
fn the_command_line_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn the_version_is_what_engines_look_for() {
    // spec: OCI-9
    let text = Args::command().render_version();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, [concat!("ctr-oci version ", env!("CARGO_PKG_VERSION")), "spec: 1.3.0"]);
}

/// The lines that dockerd, containerd's shim, conmon and Slurm were seen to write.
#[test]
fn lines_of_engines_are_understood() {
    // spec: OCI-2, OCI-3
    let line = "--root /r --log /l --log-format json create --bundle /b --pid-file /b/init.pid --console-socket /s web";
    let args = parse(line).unwrap();
    assert_eq!(args.global.log_format, LogFormat::Json);
    assert_eq!(args.global.root.as_deref(), Some("/r".as_ref()));
    let Verb::Create(create) = args.verb else { panic!("no create") };
    assert_eq!((create.container.id.as_str(), create.container.bundle), ("web", Some("/b".into())));

    let line = "--root /r --log /l --log-format json --systemd-cgroup exec --process /p --console-socket /s --detach --pid-file /f web";
    let Verb::Exec(exec) = verb(line) else { panic!("no exec") };
    assert_eq!((exec.id().unwrap().as_str(), exec.program().len(), exec.detach), ("web", 0, true));
    assert!(exec.process.is_some() && exec.console_socket.is_some() && exec.pid_file.is_some());

    for (line, all, signal) in [
        ("kill web 15", false, 15),
        ("kill --all web 9", true, 9),
        ("kill -a web", true, 15),
        ("kill web SIGUSR1", false, 10),
        ("kill web hup", false, 1),
        ("kill web 0", false, 0),
    ] {
        let Verb::Kill(kill) = verb(line) else { panic!("no kill") };
        assert_eq!((kill.id.as_str(), kill.all, kill.signal), ("web", all, signal), "{line}");
    }
    for line in ["delete --force web", "delete web -f", "delete web --force", "--debug delete -f web"] {
        assert!(matches!(verb(line), Verb::Delete(delete) if delete.force && &*delete.id == "web"), "{line}");
    }
    for line in ["run -b /b web", "run web -b /b", "run --bundle=/b --keep -d web", "run web --bundle /b"] {
        assert!(matches!(verb(line), Verb::Run(run) if run.container.bundle == Some("/b".into())), "{line}");
    }
    assert!(matches!(verb("update --resources - web"), Verb::Update(u) if u.resources == Some("-".into())));
    assert!(matches!(verb("ps --format json web"), Verb::Ps(ps) if ps.format == PsFormat::Json));
    assert!(matches!(verb("events --stats web"), Verb::Events(e) if e.stats && e.interval == Duration::from_secs(5)));
    assert!(matches!(verb("events web --interval 100ms"), Verb::Events(e) if e.interval == Duration::from_millis(100)));
}

#[test]
fn global_options_stand_before_and_after_the_verb() {
    for line in
        ["--root /r --log /l --debug list", "list --root /r --log /l --debug", "--root /r list --debug --log /l"]
    {
        let global = parse(line).unwrap().global;
        assert!(global.debug && global.root.is_some() && global.log == Some("/l".into()), "{line}");
    }
    for (line, rootless) in [
        ("list", Rootless::Auto),
        ("--rootless=false list", Rootless::False),
        ("--rootless=auto list", Rootless::Auto),
        ("--rootless list", Rootless::True),
        ("--rootless=true spec", Rootless::True),
    ] {
        assert_eq!(parse(line).unwrap().global.rootless, rootless, "{line}");
    }
    let args = parse("spec --rootless -b /b").unwrap();
    assert_eq!(args.global.rootless, Rootless::Auto);
    assert!(matches!(args.verb, Verb::Spec(spec) if spec.rootless));
}

#[test]
fn what_follows_the_id_of_exec_and_ps_is_not_ours() {
    // spec: OCI-4
    let Verb::Exec(exec) = verb("exec -t -u 5:6 -e A=b web ls --debug -t --process x -- --root /r") else {
        panic!("no exec")
    };
    assert_eq!(exec.program(), ["ls", "--debug", "-t", "--process", "x", "--", "--root", "/r"]);
    assert_eq!((exec.user.as_deref(), exec.process), (Some("5:6"), None));
    let Verb::Ps(ps) = verb("ps web -o pid,comm -f") else { panic!("no ps") };
    assert_eq!((ps.options(), ps.format), (&["-o", "pid,comm", "-f"].map(String::from)[..], PsFormat::Table));
}

#[test]
fn limits_have_units_and_may_be_unlimited() {
    let line =
        "update web --memory 512M --memory-swap -1 --pids-limit -1 --cpu-quota -1 --cpu-share 512 --cpuset-cpus 0-1";
    let Verb::Update(update) = verb(line) else { panic!("no update") };
    assert_eq!((update.memory, update.memory_swap, update.pids_limit), (Some(512 << 20), Some(-1), Some(-1)));
    assert_eq!((update.cpu_quota, update.cpu_share, update.cpuset_cpus.as_deref()), (Some(-1), Some(512), Some("0-1")));
}

#[test]
fn bad_lines_are_refused() {
    // spec: OCI-5, OCI-7
    for bad in [
        "",
        "--nope list",
        "nope",
        "create",
        "create a b",
        "create ../x",
        "create .",
        "state a/b",
        "kill web NOPE",
        "kill web 65",
        "run web -b",
        "exec",
        "exec --process",
        "exec --process /p --cwd / web",
        "--log-format xml list",
        "--rootless=maybe list",
        "list -f xml",
        "update web --memory lots",
        "update web --memory -2",
        "update web --blkio-weight 70000",
        "events web --interval 0",
        "help",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn checkpoints_take_anything() {
    for line in ["checkpoint web --image-path /i", "checkpoint --leave-running web", "restore -b /b --image-path x web"]
    {
        assert!(matches!(verb(line), Verb::Checkpoint(_) | Verb::Restore(_)), "{line}");
    }
}
