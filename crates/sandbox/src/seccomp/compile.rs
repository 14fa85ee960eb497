//! Rules to BPF (seccomp(2), "struct seccomp_data"). Calls with equal answers and neighbouring numbers share a range, and
//! the ranges are found by binary search: some seven comparisons for each call of a program.

use ctr_sys::privilege::BpfInstruction;
use ctr_sys::syscalls::AUDIT_ARCH;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It goes on.
    Allow,
    /// EPERM.
    Refuse,
    /// ENOSYS, as if the kernel had no such call.
    Unknown,
    /// EPERM if the first argument is this value.
    AllowUnlessArg0(u32),
    /// EPERM unless the first argument is one of these.
    AllowIfArg0(&'static [u32]),
    /// EPERM if the first argument has one of these bits.
    AllowWithoutArg0Bits(u32),
}

/// The answer for one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) number: u32,
    pub(crate) action: Action,
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NOT_LESS: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets in struct seccomp_data; the low half of a 64-bit argument comes first on the architectures that we run on.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT_0: u32 = 16;

const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> BpfInstruction {
    BpfInstruction { code, jt, jf, k }
}

/// Compiles `rules`; where two are for one call, the later wins. Calls without a rule, and calls by another architecture's
/// numbers, give ENOSYS. The numbers of x32 lie above all rules.
pub(crate) fn compile(rules: Vec<Rule>) -> Vec<BpfInstruction> {
    let mut program = vec![
        instruction(LOAD, ARCHITECTURE, 0, 0),
        instruction(JUMP_EQUAL, AUDIT_ARCH, 1, 0),
        instruction(RETURN, RETURN_ERRNO | ENOSYS, 0, 0),
        instruction(LOAD, NUMBER, 0, 0),
    ];
    program.extend(search(&ranges(rules)));
    program
}

/// The first number of each range, and the range's answer. The first range starts at 0, the last has no end.
fn ranges(mut rules: Vec<Rule>) -> Vec<(u32, Action)> {
    // A stable sort keeps rules for one call in their order, so that the last of them is the one that stays.
    rules.sort_by_key(|rule| rule.number);
    let mut ranges: Vec<(u32, Action)> = Vec::with_capacity(rules.len());
    let mut next = 0;
    let mut push = |from: u32, action: Action| {
        if ranges.last().is_none_or(|(_, last)| *last != action) {
            ranges.push((from, action));
        }
    };
    for (index, rule) in rules.iter().enumerate() {
        if rules.get(index + 1).is_some_and(|later| later.number == rule.number) {
            continue;
        }
        if rule.number > next {
            push(next, Action::Unknown);
        }
        push(rule.number, rule.action);
        next = rule.number + 1;
    }
    push(next, Action::Unknown);
    ranges
}

fn search(ranges: &[(u32, Action)]) -> Vec<BpfInstruction> {
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let (Some(_), Some((from, _))) = (left.first(), right.first()) else {
        return ranges.first().map(|(_, action)| answer(*action)).unwrap_or_default();
    };
    let (left, right) = (search(left), search(right));
    let mut code = if let Ok(over) = u8::try_from(left.len()) {
        vec![instruction(JUMP_NOT_LESS, *from, over, 0)]
    } else {
        // The offset of a conditional jump has eight bits; an unconditional one has 32.
        let over = u32::try_from(left.len()).unwrap_or(u32::MAX);
        vec![instruction(JUMP_NOT_LESS, *from, 0, 1), instruction(JUMP, over, 0, 0)]
    };
    code.extend(left);
    code.extend(right);
    code
}

fn answer(action: Action) -> Vec<BpfInstruction> {
    let allow = instruction(RETURN, RETURN_ALLOW, 0, 0);
    let refuse = instruction(RETURN, RETURN_ERRNO | EPERM, 0, 0);
    let argument = instruction(LOAD, ARGUMENT_0, 0, 0);
    match action {
        Action::Allow => vec![allow],
        Action::Refuse => vec![refuse],
        Action::Unknown => vec![instruction(RETURN, RETURN_ERRNO | ENOSYS, 0, 0)],
        Action::AllowUnlessArg0(value) => vec![argument, instruction(JUMP_EQUAL, value, 0, 1), refuse, allow],
        Action::AllowWithoutArg0Bits(bits) => vec![argument, instruction(JUMP_BITS, bits, 0, 1), refuse, allow],
        Action::AllowIfArg0(values) => {
            let mut code = vec![argument];
            code.extend(values.iter().flat_map(|value| [instruction(JUMP_EQUAL, *value, 0, 1), allow]));
            code.push(refuse);
            code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BPF machine for what we emit: the answer of `program` to a call.
    fn run(program: &[BpfInstruction], arch: u32, number: u32, arg0: u32) -> u32 {
        let (mut at, mut accumulator) = (0usize, 0);
        loop {
            let i = program[at];
            at += 1;
            let taken = match i.code {
                LOAD => {
                    accumulator = match i.k {
                        NUMBER => number,
                        ARCHITECTURE => arch,
                        ARGUMENT_0 => arg0,
                        other => panic!("load of {other}"),
                    };
                    continue;
                }
                RETURN => return i.k,
                JUMP => {
                    at += i.k as usize;
                    continue;
                }
                JUMP_EQUAL => accumulator == i.k,
                JUMP_NOT_LESS => accumulator >= i.k,
                JUMP_BITS => accumulator & i.k != 0,
                other => panic!("code {other}"),
            };
            at += usize::from(if taken { i.jt } else { i.jf });
        }
    }

    #[test]
    fn every_number_gets_its_rule() {
        let rules: Vec<Rule> = (0..900u32)
            .map(|number| Rule {
                number: number * 2,
                action: match number % 5 {
                    0 => Action::Refuse,
                    1 => Action::AllowUnlessArg0(40),
                    2 => Action::AllowWithoutArg0Bits(6),
                    3 => Action::AllowIfArg0(&[7, 9]),
                    _ => Action::Allow,
                },
            })
            .collect();
        let program = compile(rules.clone());
        let errno = |number: u32| RETURN_ERRNO | number;
        for number in 0..2000u32 {
            let rule = rules.iter().find(|rule| rule.number == number).map(|rule| rule.action);
            for arg0 in [0, 1, 2, 4, 7, 9, 40] {
                let permit = |yes: bool| if yes { RETURN_ALLOW } else { errno(EPERM) };
                let expected = match rule {
                    None | Some(Action::Unknown) => errno(ENOSYS),
                    Some(Action::Allow) => RETURN_ALLOW,
                    Some(Action::Refuse) => errno(EPERM),
                    Some(Action::AllowUnlessArg0(value)) => permit(arg0 != value),
                    Some(Action::AllowWithoutArg0Bits(bits)) => permit(arg0 & bits == 0),
                    Some(Action::AllowIfArg0(values)) => permit(values.contains(&arg0)),
                };
                assert_eq!(run(&program, AUDIT_ARCH, number, arg0), expected, "{number} {arg0}");
            }
        }
        assert_eq!(run(&program, 0x4000_0003, 8, 0), errno(ENOSYS), "another architecture");
        assert_eq!(run(&program, AUDIT_ARCH, 0x4000_0000, 0), errno(ENOSYS), "x32");
    }

    #[test]
    fn the_default_profile_answers_as_specified() {
        use ctr_sys::privilege::CapSet;
        use ctr_sys::syscalls::number;
        let none = super::super::default_filter(CapSet::default());
        let admin = super::super::default_filter(CapSet(1 << 21));
        let call = |filter: &[BpfInstruction], name: &str, arg0| run(filter, AUDIT_ARCH, number(name).unwrap(), arg0);
        let (eperm, enosys) = (RETURN_ERRNO | EPERM, RETURN_ERRNO | ENOSYS);
        for (name, arg0, without, with) in [
            ("read", 0, RETURN_ALLOW, RETURN_ALLOW),
            ("execve", 0, RETURN_ALLOW, RETURN_ALLOW),
            ("mount", 0, eperm, RETURN_ALLOW),
            ("unshare", 0, eperm, RETURN_ALLOW),
            ("clone3", 0, enosys, RETURN_ALLOW),
            ("clone", 17, RETURN_ALLOW, RETURN_ALLOW),
            ("clone", 0x1000_0011, eperm, RETURN_ALLOW),
            ("keyctl", 0, eperm, eperm),
            ("io_uring_setup", 0, eperm, eperm),
            ("socket", 2, RETURN_ALLOW, RETURN_ALLOW),
            ("socket", 40, eperm, eperm),
            ("personality", 0, RETURN_ALLOW, RETURN_ALLOW),
            ("personality", 0x0004_0000, eperm, eperm),
            ("init_module", 0, eperm, eperm),
        ] {
            assert_eq!(call(&none, name, arg0), without, "{name} {arg0} without CAP_SYS_ADMIN");
            assert_eq!(call(&admin, name, arg0), with, "{name} {arg0} with CAP_SYS_ADMIN");
        }
        assert!(none.len() < 600, "{}", none.len());
    }
}
