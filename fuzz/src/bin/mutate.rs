//! The plain driver: mutates the first inputs for a while, without looking at coverage.
//!
//! `mutate NAME SECONDS` runs a target; `mutate --seeds NAME DIR` writes its first inputs to a directory; `mutate --list` names them all.
//! An input that fails is written to `artifacts/` and named, and the exit code is 1.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ctr_fuzz::{TARGETS, Target, seeds, target};

/// Inputs do not grow beyond this.
const MAX_INPUT: usize = 64 * 1024;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--list"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            ExitCode::SUCCESS
        }
        ["--seeds", name, directory] => write_seeds(find(name), Path::new(directory)),
        [name, seconds] => run(find(name), Duration::from_secs(seconds.parse().expect("a number of seconds"))),
        _ => {
            eprintln!("usage: mutate NAME SECONDS | --seeds NAME DIR | --list");
            ExitCode::from(2)
        }
    }
}

fn find(name: &str) -> &'static Target {
    target(name).unwrap_or_else(|| panic!("no target {name:?}"))
}

fn write_seeds(target: &Target, directory: &Path) -> ExitCode {
    std::fs::create_dir_all(directory).expect("create the directory");
    for (number, seed) in seeds(target).iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{number}")), seed).expect("write a seed");
    }
    ExitCode::SUCCESS
}

fn run(target: &Target, time: Duration) -> ExitCode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let mut random = Random(now.as_nanos() as u64 | 1);
    let mut corpus = seeds(target);
    let (start, mut runs) = (Instant::now(), 0u64);
    for seed in &corpus {
        if let Err(code) = attempt(target, seed) {
            return code;
        }
    }
    while start.elapsed() < time {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(8) {
            mutate(&mut input, &corpus, &mut random);
        }
        input.truncate(MAX_INPUT);
        if let Err(code) = attempt(target, &input) {
            return code;
        }
        runs += 1;
        // Without coverage nothing tells a good input; a few survivors keep changes adding up.
        if random.below(64) == 0 && corpus.len() < 512 {
            corpus.push(input);
        }
    }
    println!("{}: {runs} inputs in {:.0} s, none failed (mutation loop)", target.name, start.elapsed().as_secs_f32());
    ExitCode::SUCCESS
}

fn attempt(target: &Target, input: &[u8]) -> Result<(), ExitCode> {
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if result.is_ok() {
        return Ok(());
    }
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target.name);
    std::fs::create_dir_all(&directory).expect("create the directory of artifacts");
    let file = directory.join(format!("failed-{}", std::process::id()));
    std::fs::write(&file, input).expect("write the input");
    eprintln!("{}: failed on {} ({} bytes)", target.name, file.display(), input.len());
    Err(ExitCode::FAILURE)
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    const TELLING: &[u8] =
        &[0, 1, 0x20, b'"', b'-', b'.', b'/', b':', b'0', b'7', b'9', b'@', b'{', b'}', 0x7f, 0x80, 0xff];
    if input.is_empty() {
        input.push(random.next() as u8);
        return;
    }
    let at = random.below(input.len());
    let length = 1 + random.below((input.len() - at).min(64));
    match random.below(8) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = TELLING[random.below(TELLING.len())],
        2 => input.insert(at, TELLING[random.below(TELLING.len())]),
        3 => drop(input.drain(at..at + length)),
        4 => {
            let piece: Vec<u8> = input[at..at + length].to_vec();
            input.splice(at..at, piece);
        }
        5 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            let piece = other[from..(from + length).min(other.len())].to_vec();
            input.splice(at..at + length, piece);
        }
        6 => input.truncate(at),
        _ => input[at..at + length].fill(TELLING[random.below(TELLING.len())]),
    }
}

/// xorshift64*: enough to pick mutations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
}
