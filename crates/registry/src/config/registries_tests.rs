//! Vectors: the examples of containers-registries.conf(5), and what Podman 4.3 was seen to do with the same files.

use std::fmt::Write as _;

use super::*;
use crate::config::Resolved;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn config(text: &str) -> Registries {
    Registries::parse(Path::new("/x/registries.conf"), text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// Each candidate as it would be asked; `-` before those that are not asked for tags, `!` behind insecure ones.
fn asked(config: &Registries, name: &str) -> Vec<String> {
    let show = |candidate: &Candidate| {
        let (no_tags, insecure) =
            (if candidate.tags() { "" } else { "-" }, if candidate.insecure() { "!" } else { "" });
        format!("{no_tags}{}{insecure}", candidate.reference().full())
    };
    config.candidates(&reference(name)).unwrap_or_else(|error| panic!("{error}")).iter().map(show).collect()
}

/// The example of the man page, word for word.
const MANUAL: &str = r#"
unqualified-search-registries = ["example.com"]

[[registry]]
prefix = "example.com/foo"
insecure = false
blocked = false
location = "internal-registry-for-example.com/bar"

[[registry.mirror]]
location = "example-mirror-0.local/mirror-for-foo"

[[registry.mirror]]
location = "example-mirror-1.local/mirrors/foo"
insecure = true

[[registry]]
location = "registry.com"

[[registry.mirror]]
location = "mirror.registry.com"
"#;

#[test]
fn the_example_of_the_manual() {
    // spec: REG-40, REG-41
    let config = config(MANUAL);
    assert_eq!(
        asked(&config, "example.com/foo/image:latest"),
        [
            "example-mirror-0.local/mirror-for-foo/image:latest",
            "example-mirror-1.local/mirrors/foo/image:latest!",
            "internal-registry-for-example.com/bar/image:latest",
        ]
    );
    assert_eq!(asked(&config, "registry.com/image"), ["mirror.registry.com/image:latest", "registry.com/image:latest"]);
    assert_eq!(asked(&config, "example.com/fool/image"), ["example.com/fool/image:latest"]);
    assert_eq!(config.resolve_short("image").unwrap().references, [reference("example.com/image")]);
    assert_eq!(config.warnings(), [""; 0]);
    let mirrors: Vec<bool> =
        config.candidates(&reference("registry.com/image")).unwrap().iter().map(Candidate::is_mirror).collect();
    assert_eq!(mirrors, [true, false]);
}

#[test]
fn mirrors_for_tags_and_for_digests() {
    // spec: REG-42
    let config = config(
        r#"
        [[registry]]
        prefix = "example.com"
        location = "localhost:2/x"
        insecure = true
        [[registry.mirror]]
        location = "localhost:3/m"
        [[registry.mirror]]
        location = "localhost:4/d"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "localhost:5/t"
        pull-from-mirror = "tag-only"
        [[registry]]
        prefix = "digests.example.com"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "localhost:6"
        "#,
    );
    assert_eq!(
        asked(&config, "example.com/a/b:1"),
        ["localhost:3/m/a/b:1", "-localhost:4/d/a/b:1", "localhost:5/t/a/b:1", "localhost:2/x/a/b:1!"]
    );
    let digest = format!("@sha256:{HEX}");
    assert_eq!(
        asked(&config, &format!("example.com/a{digest}")),
        [format!("localhost:3/m/a{digest}"), format!("-localhost:4/d/a{digest}"), format!("localhost:2/x/a{digest}!")]
    );
    assert_eq!(
        asked(&config, &format!("example.com/a:1{digest}")),
        [
            format!("localhost:3/m/a:1{digest}"),
            format!("-localhost:4/d/a:1{digest}"),
            format!("localhost:2/x/a:1{digest}!")
        ]
    );
    let by_digest = config.candidates(&reference(&format!("example.com/a:1{digest}"))).unwrap();
    let tags: Vec<Option<&str>> = by_digest.iter().map(Candidate::tag).collect();
    assert_eq!(tags, [Some("1"), None, Some("1")], "a digest-only mirror is never asked for the tag");
    assert_eq!(asked(&config, "digests.example.com/a:1"), ["-localhost:6/a:1", "digests.example.com/a:1"]);
}

#[test]
fn the_longest_prefix_counts() {
    // spec: REG-40
    let config = config(
        r#"
        [[registry]]
        prefix = "*.example.com"
        blocked = true
        [[registry]]
        prefix = "*.b.example.com"
        location = "other.example.net/all"
        [[registry]]
        prefix = "a.example.com"
        [[registry]]
        prefix = "a.example.com/x"
        location = "localhost:1"
        [[registry]]
        prefix = "a.example.com/x:2"
        location = "localhost:2/two:3"
        [[registry]]
        prefix = "docker.io/library"
        location = "mirror.example.net/hub"
        "#,
    );
    for (name, expected) in [
        ("a.example.com/y", "a.example.com/y:latest"),
        ("a.example.com/x/y", "localhost:1/y:latest"),
        ("a.example.com/x:2", "localhost:2/two:3"),
        ("c.b.example.com/q:1", "other.example.net/all/q:1"),
        ("c.b.example.com:5000/q:1", "other.example.net/all/q:1"),
        ("debian", "mirror.example.net/hub/debian:latest"),
        ("docker.io/me/app", "docker.io/me/app:latest"),
        ("a.example.com:5000/y", "blocked"),
        ("b.example.com/y", "blocked"),
    ] {
        match config.candidates(&reference(name)) {
            Ok(found) => {
                assert_eq!(found.iter().map(|c| c.reference().full()).collect::<Vec<_>>(), [expected], "{name}");
            }
            Err(error) => {
                assert_eq!(expected, "blocked", "{error}");
                let text = error.to_string();
                assert!(text.contains("/x/registries.conf") && text.contains("*.example.com"), "{text}");
            }
        }
    }
}

#[test]
fn a_rewrite_never_gives_another_content() {
    let config = config(&format!(
        r#"
        [[registry]]
        prefix = "example.com/a"
        location = "localhost:1/b@sha256:{}"
        [[registry]]
        prefix = "example.com/h"
        location = "mirror"
        [[registry]]
        prefix = "example.com/u"
        location = "localhost:1/UP"
        "#,
        "0".repeat(64)
    ));
    for name in [
        "example.com/a".to_owned(),
        format!("example.com/a@sha256:{HEX}"),
        "example.com/h/x".to_owned(),
        "example.com/u/x".to_owned(),
    ] {
        let error = config.candidates(&reference(&name)).unwrap_err();
        assert!(matches!(error, ConfigError::Rewrite { .. }), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn later_files_change_earlier_ones() {
    // spec: REG-43
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    };
    write("etc/registries.conf", MANUAL);
    write(
        "etc/registries.conf.d/1.conf",
        "unqualified-search-registries = ['one.example', 'two.example']\nshort-name-mode = 'disabled'\n\
         credential-helpers = ['a']\n[aliases]\n'app' = 'example.com/first'\n'gone' = 'example.com/gone'\n",
    );
    write(
        "etc/registries.conf.d/2.conf",
        "[[registry]]\nlocation = 'registry.com'\nblocked = true\n[aliases]\n'app' = 'example.com/second'\n'gone' = ''\n",
    );
    write(
        "cache/short-name-aliases.conf",
        "[aliases]\n'group/chosen' = 'example.com/chosen'\n'app' = 'example.com/third'\n",
    );
    let mut places = Locations {
        explicit: None,
        last: None,
        user: None,
        system: vec![dir.path().join("etc")],
        aliases: Some(dir.path().join("cache/short-name-aliases.conf")),
    };
    let all = Registries::load(&places).unwrap();
    assert!(matches!(all.candidates(&reference("registry.com/a")), Err(ConfigError::Blocked { .. })));
    assert_eq!(asked(&all, "example.com/foo/a").len(), 3, "tables of other prefixes stay");
    assert_eq!(all.credential_helpers().unwrap().0, ["a"]);
    let resolved = |text: &str| all.resolve_short(text).unwrap().references;
    assert_eq!(resolved("app:1"), [reference("example.com/third:1")]);
    assert_eq!(resolved("group/chosen"), [reference("example.com/chosen")]);
    assert_eq!(resolved("gone"), [reference("one.example/gone"), reference("two.example/gone")]);
    // A file that the caller names is all there is, and must be there.
    places.explicit = Some(dir.path().join("etc/registries.conf.d/2.conf"));
    let only = Registries::load(&places).unwrap();
    assert_eq!(only.resolve_short("app").unwrap().references, [reference("example.com/second")]);
    places.explicit = Some(dir.path().join("nowhere"));
    assert!(matches!(Registries::load(&places), Err(ConfigError::Read { .. })));
    places.explicit = Some(dir.path().to_owned());
    assert!(matches!(Registries::load(&places), Err(ConfigError::Read { .. })));
}

#[test]
fn short_names_are_never_guessed() {
    // spec: REG-44, REG-45
    let text = |text: &str| config(text).resolve_short("app:1").map(|resolved: Resolved| resolved.references);
    let docker = Registries::default().resolve_short("app:1").unwrap();
    assert_eq!(docker.references, [reference("docker.io/library/app:1")]);
    assert!(docker.note.unwrap().contains("app:1 is docker.io/library/app:1"));
    assert_eq!(Registries::default().resolve_short("example.com/app").unwrap().note, None);
    let two = "unqualified-search-registries = ['one.example', 'docker.io']\n";
    for mode in ["", "short-name-mode = 'enforcing'", "short-name-mode = 'permissive'", "short-name-mode = ''"] {
        let error = text(&format!("{two}{mode}")).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("one.example/app:1 or docker.io/library/app:1") && told.contains("registries.conf"),
            "{told}"
        );
        assert!(error.hint().unwrap().contains("one.example/app:1"));
    }
    let both = text(&format!("{two}short-name-mode = 'disabled'")).unwrap();
    assert_eq!(both, [reference("one.example/app:1"), reference("docker.io/library/app:1")]);
    let same = text("unqualified-search-registries = ['docker.io', 'index.docker.io']").unwrap();
    assert_eq!(same, [reference("docker.io/library/app:1")]);
    assert!(matches!(text("unqualified-search-registries = []"), Err(ConfigError::NoSearch { .. })));
    assert!(matches!(text("unqualified-search-registries = ['host']"), Err(ConfigError::Setting { .. })));
    assert_eq!(
        text("unqualified-search-registries = ['host:5000/team']").unwrap(),
        [reference("host:5000/team/app:1")]
    );
}

#[test]
fn aliases_keep_tag_and_digest() {
    // spec: REG-44
    let config = config("[aliases]\n'app' = 'example.com/team/app'\n'me/app' = 'localhost/x'\n");
    let digest = format!("sha256:{HEX}");
    for (short, full) in [
        ("app".to_owned(), "example.com/team/app:latest".to_owned()),
        ("app:2".to_owned(), "example.com/team/app:2".to_owned()),
        (format!("app@{digest}"), format!("example.com/team/app@{digest}")),
        (format!("app:2@{digest}"), format!("example.com/team/app:2@{digest}")),
        ("me/app".to_owned(), "localhost/x:latest".to_owned()),
        ("docker.io/app".to_owned(), "docker.io/library/app:latest".to_owned()),
        ("library/app".to_owned(), "docker.io/library/app:latest".to_owned()),
    ] {
        let found = config.resolve_short(&short).unwrap();
        assert_eq!(found.references.iter().map(Reference::full).collect::<Vec<_>>(), [full], "{short}");
    }
    assert!(matches!(config.resolve_short("App"), Err(ConfigError::Reference(_))));
}

#[test]
fn what_means_nothing_is_an_error_that_names_file_and_key() {
    // spec: REG-46, LIM-64
    for (text, key) in [
        ("[[registry]]\ninsecure = true", "registry[1]"),
        ("[[registry]]\nprefix = 'a.b'\n[[registry]]\nlocation = 'https://a.b'", "registry[2].location"),
        ("[[registry]]\nprefix = '*.a.b/c'", "registry[1].prefix"),
        ("[[registry]]\nprefix = 'a.b'\nblocked = 'yes'", "registry[1].blocked"),
        ("[[registry]]\nprefix = 'a.b'\npull-from-mirror = 'all'", "registry[1].pull-from-mirror"),
        ("[[registry]]\nprefix = 'a.b'\n[[registry.mirror]]\ninsecure = true", "registry[1].mirror[1].location"),
        (
            "[[registry]]\nprefix = 'a.b'\n[[registry.mirror]]\nlocation='c.d'\npull-from-mirror='some'",
            "registry[1].mirror[1].pull-from-mirror",
        ),
        (
            "[[registry]]\nprefix='a.b'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='c.d'\npull-from-mirror='all'",
            "registry[1].mirror[1].pull-from-mirror",
        ),
        ("[registry]\nprefix = 'a.b'", "registry"),
        ("short-name-mode = 'sometimes'", "short-name-mode"),
        ("unqualified-search-registries = 'a.b'", "unqualified-search-registries"),
        ("[aliases]\n'a.b/c' = 'a.b/c'", "aliases.a.b/c"),
        ("[aliases]\n'c:1' = 'a.b/c'", "aliases.c:1"),
        ("[aliases]\n'c' = 'c'", "aliases.c"),
        ("[aliases]\n'c' = 'a.b/c:1'", "aliases.c"),
    ] {
        let error = Registries::parse(Path::new("/x/f.conf"), text.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("/x/f.conf: {key}: ")), "{error}");
    }
    let parse = |bytes: &[u8]| Registries::parse(Path::new("f"), bytes);
    let old = parse(b"[registries.search]\nregistries = ['a.b']\n").unwrap_err();
    assert!(matches!(old, ConfigError::Version1 { .. }) && old.hint().unwrap().contains("[[registry]]"), "{old}");
    let error = parse(b"a = 1\nb = [\n").unwrap_err().to_string();
    assert!(error.contains("line ") && !error.contains('\n'), "{error}");
    assert!(matches!(parse(b"\xff"), Err(ConfigError::Syntax { .. })));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.conf");
    std::fs::write(&path, vec![b'\n'; usize::try_from(crate::config::FILE_MAX).unwrap() + 1]).unwrap();
    let places = Locations { explicit: Some(path), last: None, user: None, system: Vec::new(), aliases: None };
    assert!(matches!(Registries::load(&places), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn unknown_keys_are_told() {
    // spec: REG-46
    let config = config("future = 1\n[[registry]]\nprefix = 'a.b'\nbloked = true\n[[registry]]\nprefix = 'a.b/'\n");
    let warnings = config.warnings().join("\n");
    for part in ["unknown key future", "unknown key registry[1].bloked", "\"a.b\" stands there twice"] {
        assert!(warnings.contains(part), "{warnings}");
    }
}

/// A generator of texts that is the same in every run: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// Whatever the tables are: an error, or a list that ends with what is no mirror, keeps the digest, and is the same
/// when asked again.
#[test]
fn candidates_of_any_configuration_keep_their_promises() {
    let hosts = ["a.example", "b.a.example", "A.example:5000", "localhost", "[::1]:5000", "docker.io", "host"];
    let paths = ["", "/x", "/x/y", "/library", "/x:1", "/x/y:1", "/", "//", "/X"];
    let digest = format!("@sha256:{HEX}");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut lists, mut blocked, mut rewrites, mut mirrored) = (0, 0, 0, 0);
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..=dice.roll(4) {
            let star = if dice.roll(5) == 0 { "*." } else { "" };
            let path = if star.is_empty() { dice.pick(&paths) } else { "" };
            writeln!(text, "[[registry]]\nprefix = '{star}{}{path}'", dice.pick(&hosts)).unwrap();
            if dice.roll(2) == 0 {
                writeln!(text, "location = '{}{}'", dice.pick(&hosts), dice.pick(&paths)).unwrap();
            }
            writeln!(text, "blocked = {}\ninsecure = {}", dice.roll(8) == 0, dice.roll(2) == 0).unwrap();
            for _ in 0..dice.roll(3) {
                let (host, path) = (dice.pick(&hosts), dice.pick(&paths));
                let pull = dice.pick(&["", "all", "digest-only", "tag-only"]);
                writeln!(text, "[[registry.mirror]]\nlocation = '{host}{path}'\npull-from-mirror = '{pull}'").unwrap();
            }
        }
        let Ok(config) = Registries::parse(Path::new("f"), text.as_bytes()) else { continue };
        let end = ["", ":1", &digest, &format!(":1{digest}")][dice.roll(4)].to_owned();
        let name = format!("{}{}{end}", dice.pick(&hosts), dice.pick(&["/x", "/x/y", "/library/x", "/q"]));
        let reference = reference(&name);
        match config.candidates(&reference) {
            Ok(found) => {
                lists += 1;
                mirrored += usize::from(found.len() > 1);
                let (last, mirrors) = found.split_last().unwrap();
                assert!(!last.is_mirror() && last.tags() && mirrors.iter().all(Candidate::is_mirror), "{text}");
                assert!(found.iter().all(|candidate| candidate.digest() == reference.digest()), "{text}{name}");
                assert_eq!(config.candidates(&reference).unwrap(), found);
            }
            Err(ConfigError::Blocked { .. }) => blocked += 1,
            Err(ConfigError::Rewrite { .. }) => rewrites += 1,
            Err(error) => panic!("{error}\n{text}{name}"),
        }
    }
    assert!(lists > 500 && blocked > 20 && rewrites > 20 && mirrored > 30, "{lists} {blocked} {rewrites} {mirrored}");
}

#[test]
fn no_bytes_break_the_reader() {
    let mut dice = Dice(7);
    for _ in 0..4000 {
        let mut bytes = MANUAL.as_bytes().to_vec();
        for _ in 0..=dice.roll(6) {
            let at = dice.roll(bytes.len());
            match dice.roll(3) {
                0 => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
                1 => bytes.truncate(at.max(1)),
                _ => {
                    bytes.remove(at);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        if let Ok(config) = Registries::parse(Path::new("f"), &bytes) {
            let _ = config.candidates(&reference("example.com/foo/a:1"));
            let _ = config.resolve_short("a");
        }
    }
}
