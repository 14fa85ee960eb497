//! Named volumes, `ctr-volume`, and volumes that go with a container.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ctr_tests::busybox::{assert_nothing_left, inside};
use ctr_tests::oci::{Layer, Layout};
use ctr_tests::scratch::{Root, names};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, need, schema};

/// An image with a directory of content, and declared volumes.
fn with_content(root: &Root, volumes: &[&str]) {
    let mut layout = Layout::new(&root.file("layout"));
    let mut config = images::busybox_config();
    let declared: serde_json::Map<_, _> =
        volumes.iter().map(|path| ((*path).to_owned(), serde_json::json!({}))).collect();
    config["Volumes"] = declared.into();
    let content = Tar::new()
        .dir("srv", 0o750)
        .file("srv/file", 0o640, "content")
        .file("srv/setuid", 0o4755, "x")
        .symlink("srv/link", "/etc/passwd")
        .dir("srv/deep", 0o2770)
        .file("srv/deep/file", 0o600, "deep")
        .symlink("to-srv", "srv");
    let layers = [Layer::plain(images::busybox_tree().finish()), Layer::plain(content.finish())];
    let image = layout.image(&config, &layers);
    layout.tag("latest", &image);
    root.fetch(&layout.source("latest"), "content");
}

fn in_content(root: &Root, options: &[&str], script: &str) -> String {
    let args = ["--wait", "--rm", "--log=inherit"];
    root.ctr("run").args(args).args(options.iter().copied()).args(["content", "sh", "-c", script]).ok()
}

#[test]
fn a_volume_outlives_its_containers() {
    // spec: STORE-110, STORE-112, EXEC-101
    need!(root);
    let root = Root::with_busybox();
    assert_eq!(inside(&root, &["-v", "data:/data"], "ls /data; echo kept > /data/file"), "");
    assert_eq!(inside(&root, &["--mount", "type=volume,source=data,target=/elsewhere"], "cat /elsewhere/file"), "kept");
    assert_eq!(
        inside(
            &root,
            &["--userns", "host", "-v", "data:/data:ro"],
            "cat /data/file; touch /data/x 2>/dev/null || echo ro"
        ),
        "kept\nro"
    );
    root.ctr("gc").args(["--grace", "0s", "--all-images"]).ok();
    let file = root.path().join("volumes/data/data/file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept\n", "the collector leaves volumes alone");
    assert_eq!(file.metadata().unwrap().uid(), 0, "ids on disk are those inside");
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("volumes"), mode("volumes/data"), mode("volumes/data/data")), (0o700, 0o700, 0o755));
    schema::check_text("volume.json", &fs::read_to_string(root.path().join("volumes/data/volume.json")).unwrap());
}

#[test]
fn an_empty_volume_gets_what_the_image_has_there() {
    // spec: STORE-113
    need!(root);
    let root = Root::new();
    with_content(&root, &[]);
    let look = "cd /srv; stat -c '%n %a %u:%g' . file setuid deep deep/file; readlink link; cat file deep/file";
    let wanted = ". 750 0:0\nfile 640 0:0\nsetuid 755 0:0\ndeep 2770 0:0\ndeep/file 600 0:0\n/etc/passwd\ncontentdeep";
    for (number, userns) in ["auto", "host"].iter().enumerate() {
        let option = format!("v{number}:/srv");
        assert_eq!(in_content(&root, &["--userns", userns, "-v", &option], look), wanted, "{userns}");
        let on_disk = root.path().join(format!("volumes/v{number}/data"));
        assert_eq!(on_disk.metadata().unwrap().permissions().mode() & 0o7777, 0o750);
        assert_eq!(on_disk.join("file").metadata().unwrap().uid(), 0, "{userns}");
    }
    // Through a link of the image, not over what is there, and not when it is not wanted.
    assert_eq!(in_content(&root, &["-v", "linked:/to-srv"], "cat /srv/file"), "content");
    assert_eq!(in_content(&root, &["-v", "v0:/srv"], "rm /srv/*[!p]; rm -r /srv/deep; touch /srv/mine; true"), "");
    assert_eq!(in_content(&root, &["-v", "v0:/srv"], "ls /srv"), "mine");
    assert_eq!(in_content(&root, &["-v", "bare:/srv:nocopy"], "ls /srv"), "");
    assert_eq!(in_content(&root, &["-v", "nowhere:/no/such/dir"], "ls /no/such/dir"), "");
    // A start that was killed while it copied is finished by the next.
    let volume = root.path().join("volumes/bare");
    fs::write(volume.join("filling"), "").unwrap();
    fs::write(volume.join("data/half"), "").unwrap();
    assert_eq!(in_content(&root, &["-v", "bare:/srv"], "ls /srv"), "deep\nfile\nlink\nsetuid");
    assert!(!volume.join("filling").exists());
}

#[test]
fn volumes_that_the_image_declares_go_with_the_container() {
    // spec: EXEC-102
    need!(root);
    let root = Root::new();
    with_content(&root, &["/srv", "/new"]);
    let script = "cat /srv/file; touch /srv/x /new/x && echo written; grep -c ' /srv \\| /new ' /proc/self/mountinfo";
    for userns in ["auto", "host"] {
        assert_eq!(in_content(&root, &["--read-only", "--userns", userns], script), "contentwritten\n2", "{userns}");
    }
    let none = in_content(
        &root,
        &["--no-image-volumes"],
        "grep -c ' /srv ' /proc/self/mountinfo; cat /srv/file; touch /srv/x",
    );
    assert_eq!(none, "0\ncontent");
    assert_eq!(in_content(&root, &["-v", "mine:/srv:nocopy"], "ls /srv"), "", "what is asked for goes first");
    assert_eq!(in_content(&root, &["-v", "/srv"], "cat /srv/file"), "content", "a volume without a name");
    assert_nothing_left(&root, "with their containers");
    assert_eq!(names(&root.path().join("volumes")), [".lock", "mine"]);
    with_content(&root, &["/proc/x"]);
    let done = root.ctr("run").args(["--wait", "content", "true"]).run();
    assert!(done.code == 125 && done.stderr.contains("--no-image-volumes"), "{done}");
}

#[test]
fn ctr_volume_makes_shows_and_removes() {
    // spec: CLI-120, CLI-121, CLI-122, CLI-10
    need!(root);
    let root = Root::with_busybox();
    let volume = |args: &[&str]| root.ctr("volume").args(args.iter().copied());
    assert_eq!(volume(&["ls", "-q"]).ok(), "");
    assert_eq!(volume(&["create", "b", "a", "-l", "team=x"]).ok(), "b\na");
    let done = volume(&["create", "a", "c", "../d"]).fails(1);
    assert!(done.stdout == "c\n" && done.stderr.contains("a already") && done.stderr.contains("../d"), "{done}");
    assert_eq!(volume(&["ls", "-q", "--label", "team=x"]).ok(), "a\nb");
    schema::check_text("volume-list.json", &volume(&["ls", "--format", "json"]).ok());
    schema::check_text("volume-list.json", &volume(&["inspect", "a"]).ok());
    volume(&["inspect", "none"]).fails(1);
    root.ctr("run").args(["--name", "user", "-v", "a:/data", "busybox", "sleep", "600"]).ok();
    let done = volume(&["rm", "a", "b"]).fails(1);
    assert!(done.stdout == "b\n" && done.stderr.contains("in use by user"), "{done}");
    assert!(volume(&["ls"]).ok().contains("user"));
    assert_eq!(volume(&["ls", "-q", "--unused"]).ok(), "c");
    volume(&["prune"]).fails(2);
    assert_eq!(volume(&["prune", "--force"]).ok(), "c");
    root.ctr("stop").args(["-t", "0", "user"]).ok();
    // Left by a removal that was killed.
    fs::create_dir_all(root.path().join("volumes/.old-0123/data/x")).unwrap();
    assert_eq!(volume(&["prune", "--force"]).ok(), "a", "of a container that has ended");
    assert_eq!(names(&root.path().join("volumes")), [".lock"]);
}

#[test]
fn many_starts_make_one_volume() {
    // spec: STORE-111
    need!(root);
    let root = Root::new();
    with_content(&root, &[]);
    let args =
        ["--wait", "--rm", "--log=inherit", "-v", "one:/srv", "content", "sh", "-c", "cat /srv/file; ls /srv | wc -l"];
    let started: Vec<_> = (0..12).map(|_| root.ctr("run").args(args).start()).collect();
    for running in started {
        assert_eq!(running.wait().ok(), "content4");
    }
    assert_eq!(names(&root.path().join("volumes")), [".lock", "one"]);
}
