//! Compiled filters against a reading of their rules by the letter.
#![expect(clippy::cast_possible_truncation, reason = "tests take parts of random numbers")]

use ctr_sys::privilege::CapSet;
use ctr_sys::syscalls::{self, Arch, X32_BIT};

use super::compile::compile;
use super::filter::{Action, ArchRules, Compare, Condition, Filter, Rule};
use super::machine::{Seen, run};
use super::resolve::{Machine, resolve};
use super::{Profile, Program, default};

/// The answer of a filter by the letter of its rules, with no cleverness.
fn by_the_letter(filter: &Filter, seen: &Seen) -> Action {
    let is_x32 = seen.audit == Arch::X86_64.audit() && seen.number >= X32_BIT && seen.number != u32::MAX;
    let part = filter.arches.iter().find(|part| part.arch.audit() == seen.audit && (part.arch == Arch::X32) == is_x32);
    let Some(part) = part else { return filter.foreign };
    let mine: Vec<&Rule> = part.rules.iter().filter(|rule| rule.number == seen.number).collect();
    let holds = |condition: &Condition| {
        let (argument, value) = (seen.arguments[usize::from(condition.argument)], condition.value);
        match condition.compare {
            Compare::Equal => argument == value,
            Compare::NotEqual => argument != value,
            Compare::Less => argument < value,
            Compare::LessOrEqual => argument <= value,
            Compare::Greater => argument > value,
            Compare::GreaterOrEqual => argument >= value,
            Compare::MaskedEqual(mask) => argument & mask == value & mask,
        }
    };
    let plain = mine.iter().find(|rule| rule.conditions.is_empty());
    if let Some(rule) = plain.or_else(|| mine.iter().find(|rule| rule.conditions.iter().all(holds))) {
        return rule.action;
    }
    let highest = part.highest.max(part.rules.iter().map(|rule| rule.number).max());
    if mine.is_empty() && highest.is_none_or(|highest| seen.number > highest) { part.newer } else { part.otherwise }
}

/// A generator of numbers that a failing test can repeat (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// Values that meet and miss each other's halves.
    fn value(&mut self) -> u64 {
        const HALVES: [u64; 8] = [0, 1, 2, 7, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
        match self.below(4) {
            0 => self.next(),
            1 => self.below(9),
            _ => HALVES[self.below(8) as usize] << 32 | HALVES[self.below(8) as usize],
        }
    }

    fn condition(&mut self) -> Condition {
        let value = self.value();
        let compare = match self.below(7) {
            0 => Compare::Equal,
            1 => Compare::NotEqual,
            2 => Compare::Less,
            3 => Compare::LessOrEqual,
            4 => Compare::Greater,
            5 => Compare::GreaterOrEqual,
            _ => {
                let mask = self.value();
                return Condition {
                    argument: self.below(6) as u8,
                    compare: Compare::MaskedEqual(mask),
                    value: value & mask,
                };
            }
        };
        Condition { argument: self.below(6) as u8, compare, value }
    }

    fn action(&mut self) -> Action {
        match self.below(6) {
            0 | 1 => Action::ALLOW,
            2 => Action::LOG,
            3 => Action::trace(self.below(3) as u16),
            4 => Action::KILL_PROCESS,
            _ => Action::errno(self.below(5) as u16),
        }
    }

    fn part(&mut self, arch: Arch) -> ArchRules {
        let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
        let (count, span) = (self.below(120), 1 + self.below(600));
        let rules: Vec<Rule> = (0..count)
            .map(|_| {
                let conditions = if self.below(4) == 0 { self.below(4) } else { 0 };
                Rule {
                    number: self.below(span) as u32 | bit,
                    conditions: (0..conditions).map(|_| self.condition()).collect(),
                    action: self.action(),
                }
            })
            .collect();
        let highest = rules.iter().map(|rule| rule.number).max().map(|highest| highest + self.below(3) as u32);
        let otherwise = self.action();
        let newer = if highest.is_some() { self.action() } else { otherwise };
        ArchRules { arch, rules, otherwise, newer, highest }
    }
}

/// Values around those that a filter's conditions compare with.
fn interesting(filter: &Filter, random: &mut Random) -> u64 {
    let conditions: Vec<&Condition> =
        filter.arches.iter().flat_map(|part| &part.rules).flat_map(|rule| &rule.conditions).collect();
    if conditions.is_empty() || random.below(3) == 0 {
        return random.value();
    }
    let near = conditions[random.below(conditions.len() as u64) as usize].value;
    match random.below(5) {
        0 => near.wrapping_add(1),
        1 => near.wrapping_sub(1),
        2 => near ^ 1 << random.below(64),
        _ => near,
    }
}

fn calls(filter: &Filter, random: &mut Random, count: usize) -> Vec<Seen> {
    let audits = [Arch::X86_64, Arch::X86, Arch::Aarch64, Arch::Arm].map(Arch::audit);
    let mut calls = Vec::with_capacity(count);
    for _ in 0..count {
        let part = filter.arches.get(random.below(filter.arches.len() as u64) as usize);
        let known = part.filter(|part| !part.rules.is_empty());
        let number = match (random.below(4), known) {
            (0, _) | (_, None) => random.below(700) as u32 | if random.below(3) == 0 { X32_BIT } else { 0 },
            (1, Some(part)) => part.rules[random.below(part.rules.len() as u64) as usize].number.wrapping_add(1),
            (_, Some(part)) => part.rules[random.below(part.rules.len() as u64) as usize].number,
        };
        let audit = match (random.below(6), part) {
            (0, _) | (_, None) => audits[random.below(4) as usize],
            (_, Some(part)) => part.arch.audit(),
        };
        let number = if random.below(50) == 0 { u32::MAX } else { number };
        let arguments = std::array::from_fn(|_| interesting(filter, random));
        calls.push(Seen { audit, number, arguments });
    }
    calls
}

fn assert_same(filter: &Filter, random: &mut Random, count: usize, what: &str) {
    let program = compile(filter);
    for seen in calls(filter, random, count) {
        let (got, _) = run(&program, &seen);
        assert_eq!(Action(got), by_the_letter(filter, &seen), "{what}: {seen:x?}");
    }
}

#[test]
fn programs_answer_as_their_rules_say() {
    for seed in 1..=400u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let arches = match random.below(4) {
            0 => vec![Arch::X86_64],
            1 => vec![Arch::X86_64, Arch::X86, Arch::X32],
            2 => vec![Arch::X86_64, Arch::X32],
            _ => vec![Arch::Aarch64, Arch::Arm],
        };
        let arches = arches.into_iter().map(|arch| random.part(arch)).collect();
        let filter = Filter { arches, foreign: random.action() };
        assert_same(&filter, &mut random, 400, &format!("seed {seed}"));
    }
}

#[test]
fn far_jumps_reach() {
    // Each call with arguments of its own: leaves of several instructions, thousands in all.
    let rules = (0..150u32)
        .map(|number| Rule {
            number: number * 2,
            conditions: vec![
                Condition { argument: 0, compare: Compare::GreaterOrEqual, value: u64::from(number) << 31 },
                Condition { argument: 5, compare: Compare::MaskedEqual(0xff00_00ff_0000), value: 0x1100_0000_0000 },
            ],
            action: Action::errno(number as u16),
        })
        .collect();
    let part =
        ArchRules { arch: Arch::NATIVE, rules, otherwise: Action::ALLOW, newer: Action::LOG, highest: Some(298) };
    let filter = Filter { arches: vec![part], foreign: Action::TRAP };
    assert!(compile(&filter).len() > 1000);
    assert_same(&filter, &mut Random(77), 20_000, "far");
}

#[test]
fn an_empty_profile_is_its_default() {
    let profile = Profile::parse(br#"{"defaultAction": "SCMP_ACT_LOG", "syscalls": null}"#).unwrap();
    let program = Program::of_profile(&profile, CapSet::default(), (6, 1)).unwrap();
    let seen = |audit, number| Seen { audit, number, arguments: [0; 6] };
    assert_eq!(run(&program.code, &seen(Arch::NATIVE.audit(), 7)).0, Action::LOG.0);
    assert_eq!(run(&program.code, &seen(1, 7)).0, Action::KILL_PROCESS.0);
}

#[test]
fn the_default_profile_answers_as_specified() {
    // spec: EXEC-61
    let ask = |caps: u64, arch: Arch, name: &str, arg0: u64| {
        let filter =
            default::filter(if arch.runs_on(Arch::X86_64) { Arch::X86_64 } else { Arch::Aarch64 }, CapSet(caps));
        let seen = Seen { audit: arch.audit(), number: arch.number(name).unwrap(), arguments: [arg0, 0, 0, 0, 0, 0] };
        let answer = run(&compile(&filter), &seen).0;
        assert_eq!(Action(answer), by_the_letter(&filter, &seen));
        Action(answer)
    };
    let (allow, eperm, enosys) = (Action::ALLOW, Action::EPERM, Action::ENOSYS);
    for (name, arg0, without, with) in [
        ("read", 0, allow, allow),
        ("execve", 0, allow, allow),
        ("mount", 0, eperm, allow),
        ("unshare", 0, eperm, allow),
        ("clone3", 0, enosys, allow),
        ("clone", 17, allow, allow),
        ("clone", 0x1000_0011, eperm, allow),
        ("keyctl", 0, eperm, eperm),
        ("io_uring_setup", 0, eperm, eperm),
        ("socket", 2, allow, allow),
        ("socket", 16, allow, allow),
        ("socket", 38, eperm, eperm),
        ("socket", 40, eperm, eperm),
        ("socket", 0x1_0000_0028, eperm, eperm),
        ("socket", 99, eperm, eperm),
        ("personality", 0, allow, allow),
        ("personality", 0xffff_ffff, allow, allow),
        ("personality", u64::MAX, allow, allow),
        ("personality", 0x0004_0000, eperm, eperm),
        ("init_module", 0, eperm, eperm),
        ("mseal", 0, allow, allow),
        ("file_setattr", 0, enosys, enosys),
    ] {
        for arch in [Arch::X86_64, Arch::X86, Arch::Aarch64, Arch::Arm] {
            assert_eq!(ask(0, arch, name, arg0), without, "{name} {arg0} without CAP_SYS_ADMIN, {arch:?}");
            assert_eq!(ask(1 << 21, arch, name, arg0), with, "{name} {arg0} with CAP_SYS_ADMIN, {arch:?}");
        }
    }
    assert_eq!(ask(0, Arch::X86, "socketcall", 1), eperm);
    assert_eq!(ask(0, Arch::X86, "socketcall", 3), allow);
    assert_eq!(ask(0, Arch::X86, "mmap2", 3), allow);
    assert_eq!(ask(0, Arch::X32, "read", 0), enosys);
    assert_eq!(ask(1 << 39, Arch::X86_64, "bpf", 0), allow);
}

#[test]
fn the_default_profile_is_small_and_shallow() {
    let filter = default::filter(Arch::X86_64, CapSet::default());
    let program = compile(&filter);
    assert!(program.len() < 700, "{}", program.len());
    let deepest = syscalls::all()
        .filter_map(|call| call.on(Arch::X86_64))
        .map(|number| run(&program, &Seen { audit: Arch::X86_64.audit(), number, arguments: [0; 6] }).1)
        .max();
    assert!(deepest < Some(24), "{deepest:?} instructions");
    assert_same(&filter, &mut Random(5), 20_000, "default");
    for name in default::names() {
        assert!(syscalls::call(name).is_some(), "{name}");
    }
}

#[test]
fn entries_count_by_capability_architecture_and_kernel() {
    let profile = Profile::parse(
        br#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 7, "comment": ["for people"],
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                    {"architecture": "SCMP_ARCH_S390X", "subArchitectures": null}],
        "syscalls": [
            {"names": ["read", "no_such_call", "socketcall", "clone3"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["modify_ldt"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x86"]}},
            {"names": ["semop"], "action": "SCMP_ACT_ERRNO", "errno": "EACCES", "comment": ""}
        ]}"#,
    )
    .unwrap();
    assert_eq!(profile.unknown_calls(), ["no_such_call"]);
    let ask = |arch: Arch, native: Arch, kernel, caps, name: &str| {
        let filter = resolve(&profile, Machine { arch: native, kernel, capabilities: CapSet(caps) });
        let seen = Seen { audit: arch.audit(), number: arch.number(name).unwrap(), arguments: [1, 0, 0, 0, 0, 0] };
        let answer = Action(run(&compile(&filter), &seen).0);
        assert_eq!(answer, by_the_letter(&filter, &seen));
        answer
    };
    let native = |name: &str, kernel, caps| ask(Arch::X86_64, Arch::X86_64, kernel, caps, name);
    let (yes, no) = (Action::ALLOW, Action::errno(7));
    let (admin, both) = (1 << 21, 1 << 21 | 1);
    assert_eq!((native("mount", (6, 1), admin), native("mount", (6, 1), both)), (no, yes));
    assert_eq!((native("bpf", (6, 1), 0), native("bpf", (6, 1), admin)), (yes, no));
    assert_eq!((native("ptrace", (4, 7), 0), native("ptrace", (4, 8), 0), native("ptrace", (5, 0), 0)), (no, yes, yes));
    assert_eq!((native("modify_ldt", (6, 1), 0), native("semop", (6, 1), 0)), (yes, Action::errno(13)));
    assert_eq!(native("openat2", (6, 1), 0), Action::ENOSYS, "newer than all that the profile names");
    assert_eq!(ask(Arch::X32, Arch::X86_64, (6, 1), 0, "read"), yes);
    assert_eq!(ask(Arch::X86, Arch::X86_64, (6, 1), 0, "socketcall"), yes);
    assert_eq!(ask(Arch::X86, Arch::X86_64, (6, 1), 0, "ipc"), Action::errno(13), "ipc(1) is semop");
    assert_eq!(ask(Arch::Aarch64, Arch::Aarch64, (6, 1), 0, "mount"), no);
    assert_eq!(ask(Arch::X86, Arch::Aarch64, (6, 1), 0, "read"), Action::KILL_PROCESS);
}

#[test]
fn what_a_profile_cannot_say() {
    for (text, place) in [
        ("", "no seccomp profile"),
        ("{}", "defaultAction"),
        (r#"{"defaultAction": "SCMP_ACT_ALOW"}"#, "no action"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscals": []}"#, "unknown field `syscals`"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#, "takes no errno"),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}"#, "4096 is no errno"),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}"#, "listenerPath"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#, "flags"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]}"#, "no architecture"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}"#, "syscalls[0]"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "name": "x", "action": "SCMP_ACT_LOG"}]}"#,
            "either",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG",
            "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"#,
            "syscalls[0].args[0]: a system call has",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG",
            "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]}"#,
            "expected u64",
        ),
    ] {
        let error = Profile::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(place), "{text}: {error}");
    }
}

#[test]
fn a_program_is_read_as_it_was_written() {
    let program = Program { flags: 6, ..Program::default_profile(CapSet::default()) };
    let bytes = program.to_bytes();
    assert_eq!(Program::from_bytes(&bytes), Some(program));
    for damaged in [&bytes[..0], &bytes[..8], &bytes[..15], &bytes[1..]] {
        assert_eq!(Program::from_bytes(damaged), None);
    }
}
