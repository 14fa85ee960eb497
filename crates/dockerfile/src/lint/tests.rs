use super::table::TABLE;
use super::*;

fn found(text: &str) -> Vec<&'static str> {
    let ignore = Ignore::parse(b"secret.txt\n").expect("patterns");
    let context = Context { ignore: Some(&ignore), ..Context::default() };
    check(&crate::parse(text).expect("a Dockerfile"), &context).iter().map(|finding| finding.rule.name()).collect()
}

/// `LINE RULE DETAIL` of each finding.
fn told(text: &str, ignore: &str) -> Vec<String> {
    let ignore = Ignore::parse(ignore.as_bytes()).expect("patterns");
    let context = Context { ignore: Some(&ignore), ..Context::default() };
    let line =
        |finding: &Finding| format!("{} {} {}", finding.span.position(text).line, finding.rule.name(), finding.detail);
    check(&crate::parse(text).expect("a Dockerfile"), &context).iter().map(line).collect()
}

#[test]
fn each_rule_has_something_it_finds_and_something_it_does_not() {
    // spec: BUILD-28
    // spec: BUILD-29
    let mut seen = Vec::new();
    for (rule, bad, good) in TABLE {
        let of_rule = |text: &str| {
            let found = told(text, "secret.txt\n*.log\n").into_iter();
            found.filter(|line| line.split(' ').nth(1) == Some(rule)).collect::<Vec<_>>()
        };
        for (text, lines) in *bad {
            let expected: Vec<String> = lines.iter().map(|(line, detail)| format!("{line} {rule} {detail}")).collect();
            assert_eq!(of_rule(text), expected, "{text:?}");
        }
        for text in *good {
            assert!(of_rule(text).is_empty(), "{text:?}: {:?}", of_rule(text));
        }
        assert!(!bad.is_empty() && !good.is_empty(), "{rule}");
        seen.push(*rule);
    }
    assert_eq!(seen, Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>());
    let pages: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.url()).collect();
    assert_eq!(pages.len(), Rule::ALL.len());
}

#[test]
fn the_root_of_a_context_is_a_source_too() {
    // spec: BUILD-28
    let detail = "Attempting to Copy file \".\" that is excluded by .dockerignore";
    for (patterns, found) in [("*\n", true), ("**/*\n", true), (".*\n", false), ("*\n!x\n", false), ("x\n", false)] {
        let expected = if found { vec![format!("2 CopyIgnoredFile {detail}")] } else { Vec::new() };
        assert_eq!(told("FROM a\nCOPY . /d", patterns), expected, "{patterns:?}");
    }
    assert!(told("FROM a\nCOPY secret /d", "secret\n!other\n").is_empty(), "what ! takes back is not looked at");
}

#[test]
fn a_comment_above_an_instruction_is_for_it_alone() {
    // spec: BUILD-30
    for (text, expected) in [
        ("FROM a\n# check=skip=JSONArgsRecommended\nCMD x", &[][..]),
        ("FROM a\n# check=skip=all // for this one\nMAINTAINER x\nCMD x", &["JSONArgsRecommended"]),
        ("FROM a\n# check=skip=SecretsUsedInArgOrEnv\nARG key\nARG token", &["SecretsUsedInArgOrEnv"]),
        ("FROM a\n# check=skip=CopyIgnoredFile\n\nCOPY secret.txt /", &["CopyIgnoredFile"]),
        ("# other\n# check=skip=StageNameCasing,UndefinedArgInFrom\nFROM a$b AS C", &[]),
        ("# other\n# check=experimental=InvalidDefinitionDescription\nFROM a AS b", &["InvalidDefinitionDescription"]),
        // Rules about the whole file do not look at it.
        ("FROM a AS b\n# check=skip=all\nFROM a AS b", &["DuplicateStageName"]),
        ("# other\n# check=skip=all\nfrom a\nRUN x", &["ConsistentInstructionCasing"]),
    ] {
        assert_eq!(found(text), expected, "{text:?}");
    }
}

#[test]
fn the_directive_says_what_is_looked_at() {
    // spec: BUILD-30
    assert!(found("# check=skip=StageNameCasing,FromAsCasing\nFROM a as B").is_empty());
    assert!(found("# check=skip=all\nFROM a as B").is_empty());
    assert!(found("# check=experimental=all\nFROM a AS b").is_empty());
    assert!(found("# check=experimental=all\n# c\n\nFROM a AS b").is_empty());
    assert!(found("# check=experimental=all\n# c\n#\nFROM a AS b").is_empty());
    assert_eq!(found("# check=skip=fromascasing\nFROM a as B"), ["StageNameCasing"]);
    let settings = |text| Settings::of(&crate::parse(text).expect("a Dockerfile"));
    assert!(settings("# check=skip=all;error=true\nFROM a").error);
    assert!(!settings("FROM a").error);
}

#[test]
fn findings_are_written_with_their_places() {
    // spec: BUILD-31
    let text = "FROM a\nCMD x\n";
    let findings = check(&crate::parse(text).expect("a Dockerfile"), &Context::default());
    let shown = render_text(&findings, "Dockerfile", text);
    let page = "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/";
    let expected = format!(
        "WARNING: JSONArgsRecommended - {page}\n{}\nDockerfile:2\n2 | CMD x\n\n",
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"
    );
    assert_eq!(shown, expected);
    let json = to_json(&findings, "Dockerfile", text);
    assert_eq!(json["warnings"][0]["start"]["line"], 2);
    assert_eq!(json["warnings"][0]["url"], page);
    let sarif = to_sarif(&findings, "Dockerfile", text);
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][6]["helpUri"], page);
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "JSONArgsRecommended");
    assert_eq!(sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["endColumn"], 6);
}

#[test]
fn variables_with_unknown_values_are_no_findings() {
    // spec: BUILD-29
    assert!(found("FROM a\nARG A\nENV X=${A:?needed}\nCOPY $X /").is_empty());
    assert!(found("FROM a\nARG A\nWORKDIR $A\nWORKDIR b").is_empty());
    let text = "ARG base=x\nFROM a AS b\nENV Y=1\nFROM $base\nCOPY $Y /";
    assert_eq!(found(text), ["UndefinedVar"]);
    let build_args = [("base".to_owned(), "b".to_owned())].into();
    let context = Context { build_args, ..Context::default() };
    assert!(check(&crate::parse(text).expect("a Dockerfile"), &context).is_empty());
}

#[test]
fn long_chains_of_stages_and_many_names_end() {
    let chain = |stages: usize| {
        let stage = |n: usize| [format!("FROM s{} AS s{n}", n - 1), format!("ENV v{n}=1")].join("\n");
        let stages: Vec<String> = (1..stages).map(stage).collect();
        format!("FROM a AS s0\n{}\nCOPY $v1 $other /\n", stages.join("\n"))
    };
    // What does not fit any more is not known, and so is no finding.
    assert!(found(&chain(1000)).is_empty());
    assert_eq!(found(&chain(50)), ["UndefinedVar"]);
    let pairs: Vec<String> = (0..400).map(|n| format!("ENV name{n}=1\nENV x{n}=$nbme{n}")).collect();
    assert_eq!(found(&format!("FROM a\n{}\n", pairs.join("\n"))).len(), 400);
}

#[test]
fn mutated_dockerfiles_are_read_or_refused_and_never_panic() {
    let seed = "# check=experimental=all\n# b\nARG x=1\nFROM --platform=$P a:${x:-1} AS b\nENV K v\nRUN <<E\n\u{e4}\nE\nCOPY --chown=1 [\"a\", \"b\"]\nEXPOSE 1:2/TCP\n";
    let pieces =
        ["$", "{", "}", "\\", "\"", "'", "<<E", "\n", "--", "=", "[", "\u{feff}", "\u{e4}", " ", "#", "@", ":", "/"];
    let characters: Vec<char> = seed.chars().collect();
    let mut state = 1_u64;
    let mut next = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % most
    };
    for _ in 0..5000 {
        let mut text = characters.clone();
        for _ in 0..=next(4) {
            let at = next(text.len());
            text.splice(at..(at + next(3)).min(text.len()), pieces[next(pieces.len())].chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(dockerfile) = crate::parse(&text) {
            let findings = check(&dockerfile, &Context::default());
            assert!(
                findings.iter().all(|finding| text.get(finding.span.start..finding.span.end).is_some()),
                "{text:?}"
            );
            render_text(&findings, "Dockerfile", &text);
            to_sarif(&findings, "Dockerfile", &text);
        }
    }
}
