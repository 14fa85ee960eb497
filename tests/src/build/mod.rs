//! Runs the cases of `tests/data/build` with `ctr-build` and says in what an image, or an error, is not what the case says.

pub mod case;
pub mod image;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::build::case::{Case, Expect, Node};
use crate::build::image::{Image, Listing};
use crate::scratch::{Cmd, Done, Root};
use crate::users::{self, Ordinary};
use crate::{images, leaks, skip, store_check};

/// Runs a program with the capabilities that containers have by default (Docker's and Podman's list): no `CAP_SYS_ADMIN`.
pub const CONTAINED: [&str; 6] = [
    "setpriv",
    "--inh-caps",
    "-all",
    "--bounding-set",
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,\
     +mknod,+audit_write,+setfcap",
    "--",
];

/// A root with the base image, in which cases are built.
#[derive(Debug)]
pub struct Builder {
    /// The root.
    pub root: Root,
    /// Who builds, if not root.
    user: Option<Ordinary>,
    /// With the capabilities that containers have.
    contained: bool,
    base: Listing,
}

/// What a build came to.
#[derive(Debug)]
pub struct Built {
    /// The command.
    pub done: Done,
    /// The layout that it was told to write.
    pub layout: PathBuf,
}

impl Builder {
    /// With `base/busybox:1`, and nothing else.
    #[allow(clippy::new_without_default, reason = "it runs programs")]
    pub fn new() -> Self {
        Self::with(Root::new(), None, false)
    }

    /// The same for root of a container, who may not mount.
    pub fn contained() -> Self {
        Self::with(Root::new(), None, true)
    }

    /// The same for an ordinary user.
    pub fn of_user(user: Ordinary) -> Self {
        let root = user.root();
        // What it runs lies beside it.
        user.program("ctr-fetch");
        Self::with(root, Some(user), false)
    }

    fn with(root: Root, user: Option<Ordinary>, contained: bool) -> Self {
        let layout = users::readable(&root, &images::busybox_dir(), "base");
        let tree = image::merged(&[images::busybox_tree().finish()]).expect("the base image");
        let builder = Self { root, user, contained, base: image::listing(&tree) };
        builder.ctr("fetch").args(["-q", "--name", "base/busybox:1", &format!("oci:{}:latest", layout.display())]).ok();
        builder
    }

    /// `ctr-NAME` in the root, as who builds.
    pub fn ctr(&self, name: &str) -> Cmd {
        match &self.user {
            Some(user) => user.ctr(&self.root, name),
            None if self.contained => self.root.ctr(name).under(CONTAINED),
            None => self.root.ctr(name),
        }
    }

    /// Writes files to a build context, the same each time, and returns its directory.
    pub fn context(&self, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.root.file("context");
        for (name, content) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("directory of a context");
            fs::write(path, content).expect("file of a context");
        }
        dir
    }

    /// Builds a fresh copy of the case, with these options more. `attempt` tells builds of one case apart.
    pub fn build(&self, case: &Case, attempt: &str, options: &[&str]) -> Built {
        let (command, layout) = self.command(case, attempt, options);
        Built { done: command.run(), layout }
    }

    /// The command that does it, and the layout that it writes.
    fn command(&self, case: &Case, attempt: &str, options: &[&str]) -> (Cmd, PathBuf) {
        let at = self.root.file(&format!("{}.{attempt}", case.name));
        let (context, layout) = (at.join("context"), at.join("layout"));
        case.prepare(&context, self.user.as_ref());
        if let Some(user) = &self.user {
            std::os::unix::fs::chown(&at, Some(user.uid), Some(user.gid)).expect("chown");
        }
        let output = format!("type=oci,dest={}", layout.display());
        let command = self.ctr("build").args(["--pull=never", "--tag", &tag(case), "--output", &output]);
        (command.args(options.iter().copied()).args(case.arguments(&context)).dir(self.root.file("")), layout)
    }

    /// Builds a case, nothing taken from the cache, and holds the result against what it says.
    pub fn check(&self, case: &Case) -> Result<(), String> {
        let built = self.build(case, "check", &["--no-cache"]);
        let result = match case.settings.expect {
            Expect::Image => self.check_image(case, &built),
            Expect::Error => self.check_error(case, &built),
        };
        result.map_err(|why| if built.done.code == 0 { why } else { format!("{why}\n{}", said(&built.done)) })
    }

    fn check_image(&self, case: &Case, built: &Built) -> Result<(), String> {
        if built.done.code != 0 {
            return Err(format!("it does not build: exit code {}", built.done.code));
        }
        let image = Image::of_layout(&built.layout)?;
        let lines = image.lines(&self.base);
        let mut wrong = Vec::new();
        if let Some(expected) = &case.expected {
            wrong.extend(expected.iter().filter(|line| !lines.contains(line)).map(|line| format!("- {line}")));
            wrong.extend(lines.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}")));
        }
        wrong.extend(case.settings.tree.iter().flat_map(|(path, node)| node_differences(&image, path, node)));
        wrong.extend(
            case.settings
                .config
                .iter()
                .filter(|(key, value)| image.config["config"][key.as_str()] != **value)
                .map(|(key, value)| format!("- {key}: {value}\n+ {key}: {}", image.config["config"][key.as_str()])),
        );
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// A build that fails says why and where, and leaves no image and no output.
    fn check_error(&self, case: &Case, built: &Built) -> Result<(), String> {
        let (code, said) = (built.done.code, &built.done.stderr);
        let (part, line) = (case.settings.says.as_deref().unwrap_or_default(), case.settings.line);
        let mut wrong = Vec::new();
        match code {
            0 => return Err("it builds, and is an error".to_owned()),
            1 => {}
            code => wrong.push(format!("it fails with exit code {code} instead of 1")),
        }
        if !said.contains(part) {
            wrong.push(format!("the error does not say {part:?}"));
        }
        if let Some(line) = line.filter(|line| !names_line(said, *line)) {
            wrong.push(format!("the error does not name line {line}"));
        }
        if built.layout.exists() {
            wrong.push("it leaves an output".to_owned());
        }
        if self.ctr("image").args(["inspect", &tag(case)]).run().code == 0 {
            wrong.push("it leaves an image".to_owned());
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Builds a case with the cache, twice, and without it under another umask, in another zone and one step at a time, each time from another
    /// copy of the context: it gives one digest. The second one is written as a single tar too, which has the tree of the layers.
    pub fn check_again(&self, case: &Case) -> Result<(), String> {
        let first = self.image(self.command(case, "first", &[]))?;
        let tar = self.root.file(&format!("{}.second", case.name)).join("tar");
        let second =
            self.image(self.command(case, "second", &["--output", &format!("type=tar,dest={}", tar.display())]))?;
        let (command, layout) = self.command(case, "third", &["--no-cache", "--jobs=1"]);
        let third = command.env("TZ", "Asia/Tokyo").under(["sh", "-c", "umask 077; exec \"$@\"", "sh"]);
        let third = self.image((third, layout))?;
        let mut wrong = Vec::new();
        for (what, other) in [("from the cache", &second), ("in other circumstances", &third)] {
            wrong.extend(first.is_not(other).iter().map(|line| format!("built again {what}: {line}")));
        }
        let flat = image::merged(&[fs::read(&tar).map_err(|error| format!("the tar: {error}"))?])?;
        let (of_layers, of_tar) = (image::listing(&second.tree), image::listing(&flat));
        let only = |of: &Listing, other: &Listing, mark: &str| -> Vec<String> {
            let differ = of.iter().filter(|(name, line)| other.get(*name) != Some(line));
            differ.map(|(name, line)| format!("{mark} in the tar: /{name} {line}")).collect()
        };
        wrong.extend(only(&of_layers, &of_tar, "- not"));
        wrong.extend(only(&of_tar, &of_layers, "+"));
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Builds a case here and there: one digest.
    pub fn check_same(&self, other: &Self, case: &Case) -> Result<(), String> {
        let [ours, theirs] = [self, other].map(|builder| builder.image(builder.command(case, "same", &[])));
        let wrong = ours?.is_not(&theirs?);
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn image(&self, (command, layout): (Cmd, PathBuf)) -> Result<Image, String> {
        let done = command.run();
        if done.code != 0 {
            return Err(format!("it does not build: exit code {}\n{}", done.code, said(&done)));
        }
        Image::of_layout(&layout)
    }

    /// What builds left on the machine and what is wrong with the store.
    pub fn remains(&self) -> Vec<String> {
        let root = self.root.path();
        let mut found = leaks::outside(&root, &[]);
        found.extend(store_check::complaints(&self.root.store()));
        for place in ["store/tmp", "containers/embryo", "containers/prepared", "containers/run"] {
            let names = crate::scratch::names(&root.join(place));
            found.extend(names.iter().filter(|name| *name != ".lock").map(|name| format!("{place}/{name}")));
        }
        found
    }
}

fn tag(case: &Case) -> String {
    format!("case/{}:1", case.name)
}

/// The last lines of what a build printed.
fn said(done: &Done) -> String {
    let lines: Vec<&str> = done.stderr.lines().collect();
    lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}

/// Whether a message names a line: `Dockerfile:3:1`, `line 3`, or ` 3 | ` before an excerpt.
pub fn names_line(message: &str, line: u32) -> bool {
    let ends = |text: &str| !text.starts_with(|c: char| c.is_ascii_digit());
    let named = [format!("Dockerfile:{line}"), format!("line {line}")];
    named.iter().any(|mark| message.match_indices(mark.as_str()).any(|(at, mark)| ends(&message[at + mark.len()..])))
        || message.lines().any(|shown| {
            shown
                .trim_start_matches(['>', ' '])
                .strip_prefix(&line.to_string())
                .is_some_and(|rest| rest.trim_start().starts_with(['|', '>']))
        })
}

fn node_differences(image: &Image, path: &str, node: &Node) -> Vec<String> {
    let Some(entry) = image.tree.get(path.trim_start_matches('/')) else {
        return if node.gone { Vec::new() } else { vec![format!("{path}: is not there")] };
    };
    if node.gone {
        return vec![format!("{path}: is there")];
    }
    let kind = image::kind(entry);
    let mode = entry.mode & 0o7777;
    let owner = format!("{}:{}", entry.uid, entry.gid);
    let (content, link) = (String::from_utf8_lossy(&entry.content), String::from_utf8_lossy(&entry.link));
    let mut wrong = Vec::new();
    let mut text = |what: &str, wanted: &Option<String>, found: &str| {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
            wrong.push(format!("{path}: {what} is {found:?}, not {wanted:?}"));
        }
    };
    text("type", &node.kind, kind);
    text("owner", &node.owner, &owner);
    text("content", &node.content, &content);
    text("link", &node.link, &link);
    text("mode", &node.mode.map(|mode| format!("{mode:04o}")), &format!("{mode:04o}"));
    wrong
}

/// What is wrong with each of these cases; one that panics or hangs is wrong too.
pub fn failures(cases: &[Case], check: impl Fn(&Case) -> Result<(), String>) -> BTreeMap<String, String> {
    let mut failed = BTreeMap::new();
    for case in cases {
        let programs: Vec<&str> = case.settings.programs.iter().map(String::as_str).collect();
        if let Some(reason) = skip::missing(false, &programs) {
            skip::skip(&reason);
            continue;
        }
        let result = catch_unwind(AssertUnwindSafe(|| check(case))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("panics: {}", text.unwrap_or("?")))
        });
        if let Err(why) = result {
            failed.insert(case.name.clone(), why);
        }
    }
    failed
}

/// Failures but those on the list of known differences, and cases on the list that pass.
pub fn unexpected(
    cases: &[Case],
    mut failed: BTreeMap<String, String>,
    known: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    for case in cases.iter().filter(|case| known.contains_key(&case.name)) {
        if failed.remove(&case.name).is_none() {
            failed.insert(case.name.clone(), "it passes: take it off known-differences.toml".to_owned());
        }
    }
    failed
}

/// Asserts that nothing failed; shows all that did.
#[track_caller]
pub fn assert_none(cases: usize, failed: &BTreeMap<String, String>) {
    let shown: Vec<String> = failed
        .iter()
        .map(|(name, why)| format!("== {name}\n{}", why.lines().map(|line| format!("   {line}\n")).collect::<String>()))
        .collect();
    assert!(failed.is_empty(), "{} of {cases} cases are not as they should be:\n{}", failed.len(), shown.join(""));
}
