//! Filters to BPF (seccomp(2), "struct seccomp_data"). Calls with equal answers and neighbouring numbers share a range, and the
//! ranges are found by binary search: some seven comparisons for each call of a program. Equal answers share their code.

use ctr_sys::seccomp::BpfInstruction;
use ctr_sys::syscalls::{Arch, X32_BIT};

use super::assemble::{Assembler, Label, Test};
use super::filter::{Action, ArchRules, Compare, Condition, Filter, Rule};

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
pub(crate) const INSTRUCTIONS_MAX: usize = 4096;

/// Offsets in struct seccomp_data; the low half of a 64-bit argument comes first on the architectures that we run on.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The answer for a call: one for all, or by its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Always(Action),
    /// The first rule that holds, else the action.
    ByArguments(Vec<(Vec<Condition>, Action)>, Action),
}

/// Compiles `filter`, whatever its length comes to.
pub(crate) fn compile(filter: &Filter) -> Vec<BpfInstruction> {
    let mut code = Code::default();
    let mut entry = code.assembler.action(filter.foreign);
    // The native architecture is asked for first, so it is written last. x32 shares the search of x86-64.
    for part in filter.arches.iter().rev().filter(|part| part.arch != Arch::X32) {
        let mut ranges = ranges(part);
        if part.arch == Arch::X86_64 {
            // Above are the numbers of x32, but for -1, which a tracer may have put there: it is no call of anybody.
            let newer = Answer::Always(part.newer);
            ranges.retain(|(from, _)| *from < X32_BIT);
            match filter.arches.iter().find(|part| part.arch == Arch::X32) {
                Some(x32) => ranges.extend(self::ranges(x32)),
                None => ranges.push((X32_BIT, Answer::Always(filter.foreign))),
            }
            ranges.push((u32::MAX, newer));
        }
        let search = code.search(&merged(ranges));
        let number = code.assembler.load(NUMBER, search);
        entry = code.assembler.branch(Test::Equal, part.arch.audit(), number, entry);
    }
    let entry = code.assembler.load(ARCHITECTURE, entry);
    code.assembler.finish(entry)
}

/// The first number of each range, and the range's answer. The first range starts at 0, the last has no end.
fn ranges(part: &ArchRules) -> Vec<(u32, Answer)> {
    let mut rules: Vec<&Rule> = part.rules.iter().collect();
    // A stable sort: rules for one call keep their order.
    rules.sort_by_key(|rule| rule.number);
    let mut ranges = Vec::with_capacity(rules.len() * 2);
    let mut next = if part.arch == Arch::X32 { X32_BIT } else { 0 };
    for same in rules.chunk_by(|one, other| one.number == other.number) {
        let Some(number) = same.first().map(|rule| rule.number) else { continue };
        if number > next {
            ranges.push((next, Answer::Always(part.otherwise)));
        }
        ranges.push((number, answer(same, part.otherwise)));
        next = number.saturating_add(1);
    }
    match part.highest {
        Some(highest) if highest >= next => {
            ranges.push((next, Answer::Always(part.otherwise)));
            ranges.push((highest.saturating_add(1), Answer::Always(part.newer)));
        }
        _ => ranges.push((next, Answer::Always(part.newer))),
    }
    ranges
}

/// What several rules for one call come to.
fn answer(rules: &[&Rule], otherwise: Action) -> Answer {
    match rules.iter().find(|rule| rule.conditions.is_empty()) {
        Some(rule) => Answer::Always(rule.action),
        None => {
            Answer::ByArguments(rules.iter().map(|rule| (rule.conditions.clone(), rule.action)).collect(), otherwise)
        }
    }
}

/// Without those that answer as the one before.
fn merged(mut ranges: Vec<(u32, Answer)>) -> Vec<(u32, Answer)> {
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    ranges
}

#[derive(Debug, Default)]
struct Code {
    assembler: Assembler,
    /// Those that look at arguments, where they are: a handful.
    answers: Vec<(Answer, Label)>,
}

impl Code {
    fn search(&mut self, ranges: &[(u32, Answer)]) -> Label {
        let (left, right) = ranges.split_at(ranges.len() / 2);
        match (left.first(), right.first()) {
            (Some(_), Some((from, _))) => {
                let above = self.search(right);
                let below = self.search(left);
                self.assembler.branch(Test::NotLess, *from, above, below)
            }
            (None, Some((_, answer))) => self.answer(answer),
            _ => self.assembler.action(Action::KILL_PROCESS),
        }
    }

    fn answer(&mut self, answer: &Answer) -> Label {
        let (rules, otherwise) = match answer {
            Answer::Always(action) => return self.assembler.action(*action),
            Answer::ByArguments(rules, otherwise) => (rules, *otherwise),
        };
        if let Some((_, label)) = self.answers.iter().find(|(known, _)| known == answer) {
            return *label;
        }
        let mut next = self.assembler.action(otherwise);
        for (conditions, action) in rules.iter().rev() {
            let mut holds = self.assembler.action(*action);
            for condition in conditions.iter().rev() {
                holds = self.condition(*condition, holds, next);
            }
            next = holds;
        }
        self.answers.push((answer.clone(), next));
        next
    }

    /// Goes to `yes` if the condition holds, else to `no`: the high half of the argument, then, where it does not settle
    /// the matter, the low one.
    fn condition(&mut self, condition: Condition, yes: Label, no: Label) -> Label {
        let Condition { argument, compare, value } = condition;
        let low = ARGUMENTS + 8 * u32::from(argument);
        let assembler = &mut self.assembler;
        match compare {
            Compare::Equal => equal(assembler, low, u64::MAX, value, yes, no),
            Compare::NotEqual => equal(assembler, low, u64::MAX, value, no, yes),
            Compare::MaskedEqual(mask) => equal(assembler, low, mask, value & mask, yes, no),
            Compare::Greater => ordered(assembler, Test::Greater, low, value, yes, no),
            Compare::LessOrEqual => ordered(assembler, Test::Greater, low, value, no, yes),
            Compare::GreaterOrEqual => ordered(assembler, Test::NotLess, low, value, yes, no),
            Compare::Less => ordered(assembler, Test::NotLess, low, value, no, yes),
        }
    }
}

/// The high and the low 32 bits.
fn halves(value: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "that is how a half is taken")]
    ((value >> 32) as u32, value as u32)
}

/// Equal in the bits of `mask`, outside of which `value` has none.
fn equal(assembler: &mut Assembler, low: u32, mask: u64, value: u64, yes: Label, no: Label) -> Label {
    let ((high_mask, low_mask), (high_value, low_value)) = (halves(mask), halves(value));
    let next = half_equal(assembler, low, low_mask, low_value, yes, no);
    half_equal(assembler, low + 4, high_mask, high_value, next, no)
}

fn half_equal(assembler: &mut Assembler, offset: u32, mask: u32, value: u32, yes: Label, no: Label) -> Label {
    let (yes_loaded, no_loaded) = (assembler.loaded(yes, offset), assembler.loaded(no, offset));
    let tested = match (mask, value) {
        (0, _) => return yes,
        (u32::MAX, _) => assembler.branch(Test::Equal, value, yes_loaded, no_loaded),
        (_, 0) => assembler.branch(Test::AnyBit, mask, no_loaded, yes_loaded),
        _ => {
            // What is left under the mask is no longer the word that was loaded.
            let compared = assembler.branch(Test::Equal, value, yes, no);
            assembler.and(mask, compared)
        }
    };
    assembler.load(offset, tested)
}

/// Greater, or not less, as `test` says of the low half.
fn ordered(assembler: &mut Assembler, test: Test, low: u32, value: u64, yes: Label, no: Label) -> Label {
    let (high, (high_value, low_value)) = (low + 4, halves(value));
    let compared = assembler.branch(test, low_value, assembler.loaded(yes, low), assembler.loaded(no, low));
    let settled = assembler.load(low, compared);
    let (yes, no) = (assembler.loaded(yes, high), assembler.loaded(no, high));
    let same = assembler.branch(Test::Equal, high_value, settled, no);
    let above = assembler.branch(Test::Greater, high_value, yes, same);
    assembler.load(high, above)
}
