//! `linux.resources.devices`: an ordered list of which later rules win (config-linux.md "Allowed Device list").
//!
//! Nothing is allowed to begin with, and the devices that every container has ("Default Devices") come last, as runc has it.
//! v2 takes the list as a program. v1 keeps a default and exceptions from it: the list is played through, and what comes out
//! is written; a rule that takes a part out of a wider one has no expression there and is an error.

use ctr_sandbox::devices_bpf::{OrderedRule, RULES_MAX};
use ctr_sandbox::options::{DeviceAccess, DeviceKind, DeviceRule};

use super::CgroupError;
use crate::config;

/// null, zero, full, random, urandom, tty, console, ptmx, the pseudo terminals, and nodes of anything.
const ALWAYS: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// The rules of config.json with those that always hold.
pub fn rules(rules: &[config::DeviceRule]) -> Result<Vec<OrderedRule>, CgroupError> {
    let mut all = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        all.push(one(rule).map_err(|what| invalid(at, what))?);
    }
    // What was there before a rule for everything does not matter any more.
    if let Some(whole) = all.iter().rposition(|rule| is_whole(&rule.rule)) {
        all.drain(..whole);
    }
    if !matches!(all.as_slice(), [only] if only.allow && is_whole(&only.rule)) {
        let always = ALWAYS.iter().filter_map(|text| DeviceRule::parse(text));
        all.extend(always.map(|rule| OrderedRule { allow: true, rule }));
    }
    if all.len() > RULES_MAX {
        return Err(CgroupError::property(
            "linux.resources.devices",
            format!("{} rules, and {RULES_MAX} are the most that a container can have", all.len()),
        ));
    }
    Ok(all)
}

fn invalid(at: usize, what: String) -> CgroupError {
    CgroupError::property(format!("linux.resources.devices[{at}]"), what)
}

fn one(rule: &config::DeviceRule) -> Result<OrderedRule, String> {
    let kind = match rule.kind.as_str() {
        "" | "a" => None,
        "c" | "u" => Some(DeviceKind::Char),
        "b" => Some(DeviceKind::Block),
        other => return Err(format!("\"{}\" is no type: a, c or b", other.escape_debug())),
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|_| format!("{number} is no device number")),
    };
    let access = match rule.access.as_str() {
        "" => DeviceAccess::ALL,
        letters => DeviceAccess::parse(letters)
            .ok_or_else(|| format!("\"{}\" is no access: of the letters rwm", letters.escape_debug()))?,
    };
    Ok(OrderedRule {
        allow: rule.allow,
        rule: DeviceRule { kind, major: number(rule.major)?, minor: number(rule.minor)?, access },
    })
}

fn is_whole(rule: &DeviceRule) -> bool {
    *rule == DeviceRule { kind: None, major: None, minor: None, access: DeviceAccess::ALL }
}

/// The rules for a program of v2; `None`: everything may be used, and there is nothing to check.
pub fn program_of(rules: &[OrderedRule]) -> Option<&[OrderedRule]> {
    (!matches!(rules, [only] if only.allow && is_whole(&only.rule))).then_some(rules)
}

/// What v1 keeps for a group: a default, and exceptions from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1State {
    /// What is not spoken of may be used.
    pub allow: bool,
    /// Devices of one kind that may not, or else may.
    pub exceptions: Vec<DeviceRule>,
}

impl V1State {
    /// What `rules` come to.
    pub fn of(rules: &[OrderedRule]) -> Result<Self, CgroupError> {
        let mut state = Self { allow: false, exceptions: Vec::new() };
        for OrderedRule { allow, rule } in rules {
            if is_whole(rule) {
                state = Self { allow: *allow, exceptions: Vec::new() };
                continue;
            }
            let kinds = rule.kind.map_or_else(|| vec![DeviceKind::Char, DeviceKind::Block], |kind| vec![kind]);
            for kind in kinds {
                state.apply(*allow, DeviceRule { kind: Some(kind), ..*rule })?;
            }
        }
        Ok(state)
    }

    fn apply(&mut self, allow: bool, rule: DeviceRule) -> Result<(), CgroupError> {
        let same = |other: &DeviceRule| (other.kind, other.major, other.minor) == (rule.kind, rule.major, rule.minor);
        if allow != self.allow {
            match self.exceptions.iter_mut().find(|other| same(other)) {
                Some(other) => other.access = union(other.access, rule.access),
                None => self.exceptions.push(rule),
            }
            return Ok(());
        }
        // The rule is the default again for what it speaks of: exceptions that it covers go, wider ones cannot be cut.
        for other in &mut self.exceptions {
            let left = without(other.access, rule.access);
            if left == other.access || !overlap(other, &rule) {
                continue;
            }
            if !covers(&rule, other) {
                return Err(CgroupError::property(
                    "linux.resources.devices",
                    format!(
                        "cgroup v1 cannot take \"{rule}\" out of \"{other}\": it keeps a list of devices, without an order"
                    ),
                )
                .hinted("give rules that do not overlap, or boot with systemd.unified_cgroup_hierarchy=1"));
            }
            other.access = left;
        }
        self.exceptions.retain(|rule| rule.access.read || rule.access.write || rule.access.mknod);
        Ok(())
    }

    /// Files and lines that make it of a group's state `now`: a device that both allow is never forbidden in between. `None`
    /// is a state that cannot be told.
    pub fn lines(&self, now: Option<&Self>) -> Vec<(&'static str, String)> {
        let (except, back) =
            if self.allow { ("devices.deny", "devices.allow") } else { ("devices.allow", "devices.deny") };
        let mut lines = Vec::new();
        let kept = match now {
            Some(now) if now.allow == self.allow => now.exceptions.as_slice(),
            _ => {
                lines.push((back, "a".to_owned()));
                &[]
            }
        };
        let find = |list: &[DeviceRule], rule: &DeviceRule| {
            list.iter()
                .find(|other| (other.kind, other.major, other.minor) == (rule.kind, rule.major, rule.minor))
                .map(|other| other.access)
        };
        let none = DeviceAccess { read: false, write: false, mknod: false };
        let mut differ = |file, rule: &DeviceRule, list: &[DeviceRule]| {
            let access = without(rule.access, find(list, rule).unwrap_or(none));
            if access != none {
                lines.push((file, DeviceRule { access, ..*rule }.to_string()));
            }
        };
        for rule in &self.exceptions {
            differ(except, rule, kept);
        }
        for rule in kept {
            differ(back, rule, &self.exceptions);
        }
        lines
    }

    /// Reads `devices.list`, which has `a *:* rwm` where everything may be used, and is silent of exceptions from that.
    pub fn parse(list: &str) -> Option<Self> {
        if list.trim() == "a *:* rwm" {
            return None;
        }
        let exceptions: Option<Vec<DeviceRule>> = list.lines().map(DeviceRule::parse).collect();
        Some(Self { allow: false, exceptions: exceptions? })
    }
}

fn overlap(one: &DeviceRule, other: &DeviceRule) -> bool {
    let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
    one.kind == other.kind && meet(one.major, other.major) && meet(one.minor, other.minor)
}

fn covers(wide: &DeviceRule, narrow: &DeviceRule) -> bool {
    let within = |a: Option<u32>, b: Option<u32>| a.is_none() || a == b;
    wide.kind == narrow.kind && within(wide.major, narrow.major) && within(wide.minor, narrow.minor)
}

fn union(a: DeviceAccess, b: DeviceAccess) -> DeviceAccess {
    DeviceAccess { read: a.read || b.read, write: a.write || b.write, mknod: a.mknod || b.mknod }
}

fn without(a: DeviceAccess, b: DeviceAccess) -> DeviceAccess {
    DeviceAccess { read: a.read && !b.read, write: a.write && !b.write, mknod: a.mknod && !b.mknod }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> config::DeviceRule {
        let (allow, rest) = (text.starts_with('+'), &text[1..]);
        let words: Vec<&str> = rest.split(' ').collect();
        let number = |text: &str| if text == "*" { None } else { Some(text.parse().unwrap()) };
        let (major, minor) = words[1].split_once(':').unwrap();
        config::DeviceRule {
            allow,
            kind: words[0].into(),
            major: number(major),
            minor: number(minor),
            access: (*words.get(2).unwrap_or(&"")).into(),
        }
    }

    fn state(texts: &[&str]) -> Result<V1State, String> {
        let rules: Vec<_> = texts.iter().map(|text| rule(text)).collect();
        V1State::of(&super::rules(&rules).unwrap()).map_err(|error| error.to_string())
    }

    fn own(texts: &[&str]) -> Vec<String> {
        let always = |rule: &&DeviceRule| !ALWAYS.contains(&rule.to_string().as_str());
        state(texts).unwrap().exceptions.iter().filter(always).map(ToString::to_string).collect()
    }

    #[test]
    fn everything_is_denied_to_begin_with() {
        for rules in [&[][..], &["-a *:* rwm"], &["-a *:*"], &["+a *:* rwm", "-a *:* rwm"]] {
            let state = state(rules).unwrap();
            assert!(!state.allow);
            assert_eq!(state.exceptions.len(), ALWAYS.len(), "{rules:?}");
        }
    }

    #[test]
    fn later_rules_win() {
        assert_eq!(own(&["-a *:* rwm", "+c 10:229 rw", "-c 10:229 w"]), ["c 10:229 r"]);
        assert_eq!(own(&["-a *:* rwm", "+c 10:229 r", "+c 10:229 w"]), ["c 10:229 rw"]);
        assert_eq!(own(&["+c 10:1 rw", "+c 10:2 rw", "-c 10:* rwm"]), Vec::<String>::new());
        assert_eq!(own(&["+a 7:1 m", "+b 8:* r"]), ["c 7:1 m", "b 7:1 m", "b 8:* r"]);
        // The devices that every container has come back.
        assert_eq!(state(&["-c 1:3 rwm"]).unwrap().exceptions.len(), ALWAYS.len());
        let all = state(&["-a *:* rwm", "+a *:* rwm"]).unwrap();
        assert_eq!(all, V1State { allow: true, exceptions: Vec::new() });
        assert_eq!(all.lines(None), [("devices.allow", "a".to_owned())]);
        let but = state(&["+a *:* rwm", "-b 8:0 w"]).unwrap();
        assert_eq!(but.lines(None), [("devices.allow", "a".to_owned()), ("devices.deny", "b 8:0 w".to_owned())]);
    }

    #[test]
    fn what_v1_cannot_express_is_told() {
        let error = state(&["-a *:* rwm", "+b 8:* rw", "-b 8:0 w"]).unwrap_err();
        assert!(error.starts_with("linux.resources.devices: ") && error.contains("b 8:0 w"), "{error}");
        // Letters that it does not have can be taken from it.
        assert_eq!(own(&["-a *:* rwm", "+b 8:* r", "-b 8:0 w"]), ["b 8:* r"]);
        assert!(state(&["+a *:* rwm", "-b 8:* rw", "+b 8:0 r"]).is_err());
    }

    #[test]
    fn an_update_changes_what_differs_alone() {
        let parse = |lines: &[&str]| V1State::parse(&lines.join("\n")).unwrap();
        let (now, new) = (parse(&["c 1:3 rwm", "b 8:0 rw", "c 9:9 r"]), parse(&["c 1:3 rwm", "b 8:0 rm"]));
        let lines = new.lines(Some(&now));
        let lines: Vec<String> = lines.iter().map(|(file, line)| format!("{file} {line}")).collect();
        assert_eq!(lines, ["devices.allow b 8:0 m", "devices.deny b 8:0 w", "devices.deny c 9:9 r"]);
        assert_eq!(V1State::parse("a *:* rwm\n"), None);
        assert_eq!(V1State::parse("nonsense"), None);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let with = |change: &dyn Fn(&mut config::DeviceRule)| {
            let mut rule = rule("+c 1:3 r");
            change(&mut rule);
            super::rules(&[rule]).unwrap_err().to_string()
        };
        for error in [
            with(&|rule| rule.kind = "x".into()),
            with(&|rule| rule.kind = "p".into()),
            with(&|rule| rule.access = "rx".into()),
            with(&|rule| rule.access = "rr".into()),
            with(&|rule| rule.major = Some(-2)),
            with(&|rule| rule.minor = Some(1 << 40)),
        ] {
            assert!(error.starts_with("linux.resources.devices[0]: "), "{error}");
        }
        assert!(super::rules(&vec![rule("+c 1:3 r"); RULES_MAX]).is_err());
    }
}
