//! A Dockerfile that is printed and read again says the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod canonical;

use std::fs;
use std::path::{Path, PathBuf};

/// Whole files, and texts with something odd in them.
fn texts() -> Vec<String> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/build");
    let mut texts = Vec::new();
    dockerfiles(&data, &mut texts);
    assert!(texts.len() > 200, "{} Dockerfiles below {}", texts.len(), data.display());
    texts.extend(ODD.iter().map(|text| (*text).to_owned()));
    texts
}

fn dockerfiles(directory: &Path, texts: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            dockerfiles(&path, texts);
        } else if path.is_file() && path.to_string_lossy().ends_with("ockerfile") {
            texts.extend(fs::read_to_string(&path));
        }
    }
}

const ODD: &[&str] = &[
    "# check=skip=all\n# Escape = `\n# syntax=a b\nFROM a `\n  AS b\nCOPY --chown=`\"x `\\ /d\\\n",
    "\u{feff}\u{feff}FROM a\n",
    "RUN a \\ \\\n",
    "RUN a \\\u{b}\nRUN b",
    "RUN --mount='a b'\"'\"\\\\ \\\n\n",
    "RUN --a=\"b\r\"\t\nRUN c",
    "COPY --from=a --link -- --x /y\n",
    "CMD -- --\nCMD --",
    "COPY <<-'a b' 3<<\"c\" <<d /x\n\t\tone\r\n\ta b\ntwo\nc\nd\nRUN <<  E\n# no comment \\\nE",
    "ONBUILD COPY <<E /x\n$v\nE\nonbuild run [\"<<E\"]",
    "WHAT <<E \\\n  --x\nwhat --y\n\\\u{b}\n\u{a0}FROM\u{a0}a\u{a0}",
    "EnV a='b\\' c=\"d \\\" e\"\nENV f g  h\nLABEL \"i j\"=k",
    "HEALTHCHECK --interval=1s --retries=\"3\" CMD [\"a\",\n\nRUN x",
    "R\\\nU\\\n# c\nN \\\n\n--network=none \\\n x",
];

// spec: BUILD-2
// spec: BUILD-3
// spec: BUILD-4
#[test]
fn what_is_printed_says_the_same() {
    let read = texts().iter().filter(|text| canonical::check(text)).count();
    assert!(read > 200, "{read} were read");
}

#[test]
fn the_canonical_text_has_one_line_for_an_instruction() {
    let text =
        "# escape=`\n# c\nfrom  a `\n # c\n  as b\nRUN --mount=\"type=tmpfs,target=/a b\" <<'E'\nx\nE\nCMD [ \"a\" ]\n";
    let file = ctr_dockerfile::parse(text).unwrap();
    assert_eq!(
        canonical::print(&file),
        "# escape=`\nFROM a   as b\nRUN --mount=type=tmpfs,target=/a` b <<'E'\nx\nE\nCMD [ \"a\" ]\n"
    );
}

#[test]
fn so_does_what_is_made_of_pieces() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut read = 0;
    for _ in 0..4000 {
        let text: String = (0..=random.below(24)).map(|_| PIECES[random.below(PIECES.len())]).collect();
        read += usize::from(canonical::check(&text));
    }
    assert!(read > 1000, "{read} were read");
}

#[test]
fn so_does_what_is_changed() {
    let texts = texts();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut read = 0;
    for round in 0..4000 {
        let mut characters: Vec<char> = texts[round % texts.len()].chars().collect();
        for _ in 0..=random.below(5) {
            let at = random.below(characters.len() + 1);
            let to = (at + random.below(4)).min(characters.len());
            characters.splice(at..to, PIECES[random.below(PIECES.len())].chars());
        }
        read += usize::from(canonical::check(&characters.into_iter().collect::<String>()));
    }
    assert!(read > 1000, "{read} were read");
}

const PIECES: &[&str] = &[
    "FROM a AS b\n",
    "RUN ",
    "copy ",
    "ADD a /b",
    "ENV a=b ",
    "LABEL k v",
    "ONBUILD ",
    "HEALTHCHECK CMD ",
    "ARG v\n",
    "VOLUME ",
    "SHELL [\"a\"]\n",
    "WHAT ",
    "--mount=type=tmpfs,target=/x ",
    "--from='a b' ",
    "--link",
    "-- ",
    "<<E ",
    "<<-'E F'",
    "<< E",
    "3<<\"E\"",
    "\nE\n",
    "\n\tE F\n",
    "E",
    "[\"a\", \"b\"]",
    "[1]",
    "\\",
    "\\\n",
    "\\\\\n",
    "` \n",
    "# c\n",
    "# escape=`\n",
    "# check=skip=all\n",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "\t",
    "\u{b}",
    "\u{a0}",
    "\u{feff}",
    "\u{e4}",
    "\"",
    "'",
    "$v",
    "${v:-w}",
    "=",
    "#",
    "x",
];

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }
}
