//! Device rules as a program of cgroup v2 (linux/bpf.h, `BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! The kernel runs it whenever a process of the group opens a device or makes a node of one, and refuses unless it returns 1.
//! Rules have an order, and of those that speak of a device the last one counts, for each of the letters `rwm` by itself. So
//! the program goes from the last rule to the first and keeps what is still undecided:
//! ```text
//! r2 = type, r3 = wanted access, r4 = major, r5 = minor
//! for each rule:   if type, major or minor differ, go on to the next
//!   that allows:   r3 = r3 without the rule's letters; if nothing is left: r0 = 1; exit
//!   that forbids:  if r3 has one of the rule's letters: r0 = 0; exit
//! r0 = 0; exit
//! ```

use ctr_sys::bpf::Instruction;

use crate::options::{DeviceKind, DeviceRule};

/// Rules that one container can have; the program has eight instructions for each at most, and the kernel takes 4096 from
/// those without `CAP_BPF`.
pub const RULES_MAX: usize = 400;

/// `BPF_DEVCG_ACC_*` and `BPF_DEVCG_DEV_*`.
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const BLOCK: i32 = 1;
const CHAR: i32 = 2;

/// Operations: a 32-bit load from memory, 32-bit arithmetic with a constant, jumps that compare 32 bits.
const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE: u8 = 0xb4;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_NOT: u8 = 0x56;
const JUMP_IF: u8 = 0x16;
const EXIT: u8 = 0x95;

/// A rule that allows or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderedRule {
    /// Whether it allows.
    pub allow: bool,
    /// What.
    pub rule: DeviceRule,
}

/// The program for `rules`: what none of them allows is forbidden.
pub(crate) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let ordered: Vec<OrderedRule> = rules.iter().map(|rule| OrderedRule { allow: true, rule: *rule }).collect();
    ordered_program(&ordered)
}

/// The program for rules of which later ones win; what none of them speaks of is forbidden.
pub fn ordered_program(rules: &[OrderedRule]) -> Vec<Instruction> {
    let mut program = vec![
        // struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }, access above 16 bits of type.
        Instruction { code: LOAD_WORD, registers: registers(2, 1), offset: 0, constant: 0 },
        Instruction { code: MOVE_REGISTER, registers: registers(3, 2), offset: 0, constant: 0 },
        operation(AND, 2, 0xffff),
        operation(SHIFT_RIGHT, 3, 16),
        Instruction { code: LOAD_WORD, registers: registers(4, 1), offset: 4, constant: 0 },
        Instruction { code: LOAD_WORD, registers: registers(5, 1), offset: 8, constant: 0 },
    ];
    for rule in rules.iter().rev() {
        add_rule(rule, &mut program);
    }
    program.extend([operation(MOVE, 0, 0), operation(EXIT, 0, 0)]);
    program
}

fn registers(to: u8, from: u8) -> u8 {
    to | from << 4
}

fn operation(code: u8, register: u8, constant: i32) -> Instruction {
    Instruction { code, registers: registers(register, 0), offset: 0, constant }
}

fn add_rule(OrderedRule { allow, rule }: &OrderedRule, program: &mut Vec<Instruction>) {
    let kind = rule.kind.map(|kind| match kind {
        DeviceKind::Char => CHAR,
        DeviceKind::Block => BLOCK,
    });
    let number = |number: u32| i32::from_ne_bytes(number.to_ne_bytes());
    let comparisons = [(2, kind), (4, rule.major.map(number)), (5, rule.minor.map(number))];
    let comparisons = comparisons.into_iter().filter_map(|(register, value)| Some((register, value?)));
    let mut checks: Vec<Instruction> =
        comparisons.map(|(register, value)| operation(JUMP_IF_NOT, register, value)).collect();
    let bits = [(rule.access.mknod, MKNOD), (rule.access.read, READ), (rule.access.write, WRITE)];
    let letters = bits.iter().filter(|(has, _)| *has).fold(0, |all, (_, bit)| all | bit);
    if *allow {
        checks.push(operation(AND, 3, !letters));
        checks.push(operation(JUMP_IF_NOT, 3, 0));
    } else {
        checks.push(Instruction { code: MOVE_REGISTER, registers: registers(1, 3), offset: 0, constant: 0 });
        checks.push(operation(AND, 1, letters));
        checks.push(operation(JUMP_IF, 1, 0));
    }
    checks.extend([operation(MOVE, 0, i32::from(*allow)), operation(EXIT, 0, 0)]);
    let length = checks.len();
    for (at, mut check) in checks.into_iter().enumerate() {
        if matches!(check.code, JUMP_IF_NOT | JUMP_IF) {
            check.offset = i16::try_from(length - at - 1).unwrap_or(i16::MAX);
        }
        program.push(check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::DeviceAccess;

    /// Runs a program as the kernel would: the answer for one access.
    fn run(program: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let mut register = [0u32; 11];
        let context = [(access << 16 | kind).cast_unsigned(), major, minor];
        let mut at = 0;
        for _ in 0..10_000 {
            let Instruction { code, registers, offset, constant } = program[at];
            let (to, from) = (usize::from(registers & 15), usize::from(registers >> 4));
            at += 1;
            match code {
                LOAD_WORD => register[to] = context[usize::try_from(offset).unwrap() / 4],
                MOVE_REGISTER => register[to] = register[from],
                MOVE => register[to] = constant.cast_unsigned(),
                AND => register[to] &= constant.cast_unsigned(),
                SHIFT_RIGHT => register[to] >>= constant,
                JUMP_IF_NOT if register[to] != constant.cast_unsigned() => at += usize::try_from(offset).unwrap(),
                JUMP_IF if register[to] == constant.cast_unsigned() => at += usize::try_from(offset).unwrap(),
                JUMP_IF_NOT | JUMP_IF => {}
                EXIT => return register[0] == 1,
                other => panic!("operation {other:#x}"),
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn rules_allow_what_they_say_and_nothing_else() {
        let rules: Vec<_> = ["c 1:3 rwm", "b 8:* r", "c 10:229 rw", "a 7:1 m"]
            .iter()
            .map(|text| DeviceRule::parse(text).unwrap())
            .collect();
        let program = program(&rules);
        for (kind, access, major, minor, allowed) in [
            (CHAR, READ | WRITE, 1, 3, true),
            (CHAR, MKNOD, 1, 3, true),
            (CHAR, READ, 1, 5, false),
            (BLOCK, READ, 1, 3, false),
            (BLOCK, READ, 8, 0, true),
            (BLOCK, READ, 8, 17, true),
            (BLOCK, READ | WRITE, 8, 17, false),
            (BLOCK, MKNOD, 8, 17, false),
            (CHAR, READ, 8, 17, false),
            (CHAR, READ | WRITE, 10, 229, true),
            (CHAR, MKNOD, 10, 229, false),
            (CHAR, MKNOD, 7, 1, true),
            (BLOCK, MKNOD, 7, 1, true),
            (BLOCK, READ | MKNOD, 7, 1, false),
            (CHAR, READ, 0, 0, false),
        ] {
            assert_eq!(run(&program, kind, access, major, minor), allowed, "{kind} {access} {major}:{minor}");
        }
    }

    #[test]
    fn the_last_rule_wins_for_each_letter() {
        let rules: Vec<_> = ["+a *:* rwm", "-c 1:* w", "+c 1:3 w", "-b 8:0 rwm", "+b 8:0 r", "+b 8:0 w"]
            .iter()
            .map(|text| OrderedRule { allow: text.starts_with('+'), rule: DeviceRule::parse(&text[1..]).unwrap() })
            .collect();
        let program = ordered_program(&rules);
        for (kind, access, major, minor, allowed) in [
            (CHAR, READ, 1, 5, true),
            (CHAR, READ | WRITE, 1, 5, false),
            (CHAR, MKNOD, 1, 5, true),
            (CHAR, READ | WRITE, 1, 3, true),
            (BLOCK, READ | WRITE, 8, 0, true),
            (BLOCK, MKNOD, 8, 0, false),
            (BLOCK, READ | WRITE | MKNOD, 8, 1, true),
        ] {
            assert_eq!(run(&program, kind, access, major, minor), allowed, "{kind} {access} {major}:{minor}");
        }
        match ctr_sys::bpf::load_device_program(&program) {
            Ok(_) | Err(ctr_sys::Errno::EPERM) => {}
            Err(errno) => panic!("{errno}"),
        }
    }

    #[test]
    fn no_rule_allows_nothing_and_all_allow_everything() {
        assert!(!run(&program(&[]), CHAR, READ, 1, 3));
        let all = program(&[DeviceRule { kind: None, major: None, minor: None, access: DeviceAccess::ALL }]);
        assert!(run(&all, BLOCK, READ | WRITE | MKNOD, 259, u32::MAX));
    }

    #[test]
    fn the_longest_program_is_one_that_the_kernel_takes() {
        let rule = DeviceRule::parse("b 4294967295:4294967295 r").unwrap();
        let forbid = OrderedRule { allow: false, rule: DeviceRule::parse("b 4294967295:4294967294 r").unwrap() };
        assert!(ordered_program(&vec![forbid; RULES_MAX]).len() <= 4096);
        let program = program(&vec![rule; RULES_MAX]);
        assert!(program.len() <= 4096);
        assert!(run(&program, BLOCK, READ, u32::MAX, u32::MAX) && !run(&program, BLOCK, WRITE, u32::MAX, u32::MAX));
        match ctr_sys::bpf::load_device_program(&program) {
            Ok(_) | Err(ctr_sys::Errno::EPERM) => {}
            Err(errno) => panic!("{errno}"),
        }
    }
}
