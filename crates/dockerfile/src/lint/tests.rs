use super::*;

fn found(text: &str) -> Vec<&'static str> {
    let ignore = Ignore::parse(b"secret.txt\n").expect("patterns");
    let context = Context { ignore: Some(&ignore), ..Context::default() };
    check(&crate::parse(text).expect("a Dockerfile"), &context).iter().map(|finding| finding.rule.name()).collect()
}

#[test]
fn each_rule_has_something_it_finds_and_something_it_does_not() {
    // spec: BUILD-28
    // spec: BUILD-29
    let mut seen = Vec::new();
    for (rule, bad, good) in [
        ("StageNameCasing", "FROM a AS B", "FROM a AS b"),
        ("FromAsCasing", "FROM a as b", "from a as b"),
        ("NoEmptyContinuation", "FROM a\nRUN x \\\n\n y", "FROM a\nRUN x \\\n y"),
        ("ConsistentInstructionCasing", "FROM a\nRUN x\nrun y", "from a\nrun x"),
        ("DuplicateStageName", "FROM a AS b\nFROM c AS b", "FROM a AS b\nFROM c AS d"),
        ("ReservedStageName", "FROM a AS context", "FROM scratch AS b"),
        ("JSONArgsRecommended", "FROM a\nCMD x", "FROM a\nSHELL [\"/s\"]\nCMD x"),
        ("MaintainerDeprecated", "FROM a\nMAINTAINER x", "FROM a\nLABEL x=y"),
        ("UndefinedArgInFrom", "FROM a:$x", "ARG x=1\nFROM --platform=$BUILDPLATFORM a:$x"),
        ("WorkdirRelativePath", "FROM a\nWORKDIR x", "FROM a\nWORKDIR /x\nWORKDIR y"),
        ("UndefinedVar", "FROM a\nCOPY $x /", "FROM a\nARG x\nCOPY $x ${y:-z} \\$q /\nENV P=$PATH"),
        (
            "MultipleInstructionsDisallowed",
            "FROM a\nCMD [\"x\"]\nCMD [\"y\"]",
            "FROM a\nCMD [\"x\"]\nFROM b\nCMD [\"y\"]",
        ),
        ("LegacyKeyValueFormat", "FROM a\nENV x y", "FROM a\nENV x=y"),
        ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM a", "FROM a"),
        ("SecretsUsedInArgOrEnv", "FROM a\nARG API_TOKEN", "FROM a\nARG PUBLIC_KEY\nARG MONKEY"),
        ("InvalidDefaultArgInFrom", "ARG x\nFROM a:$x", "ARG x\nFROM a:${x:-1}"),
        (
            "FromPlatformFlagConstDisallowed",
            "FROM --platform=linux/arm64 a",
            "FROM --platform=linux/arm64 a AS b-arm64",
        ),
        ("CopyIgnoredFile", "# check=experimental=all\nFROM a\nCOPY secret.txt /", "FROM a\nCOPY secret.txt /"),
        (
            "InvalidDefinitionDescription",
            "# check=experimental=InvalidDefinitionDescription\n# c\nFROM a AS b",
            "# check=experimental=all\n# b is it\nFROM a AS b",
        ),
        ("ExposeProtoCasing", "FROM a\nEXPOSE 80/TCP", "FROM a\nEXPOSE 80/tcp"),
        ("ExposeInvalidFormat", "FROM a\nEXPOSE 127.0.0.1:80:80", "FROM a\nEXPOSE 80-90"),
    ] {
        assert_eq!(found(bad), [rule], "{bad:?}");
        assert!(found(good).is_empty(), "{good:?}: {:?}", found(good));
        seen.push(rule);
    }
    assert_eq!(seen, Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>());
}

#[test]
fn the_directive_says_what_is_looked_at() {
    // spec: BUILD-30
    assert!(found("# check=skip=StageNameCasing,FromAsCasing\nFROM a as B").is_empty());
    assert!(found("# check=skip=all\nFROM a as B").is_empty());
    assert!(found("# check=experimental=all\nFROM a AS b").is_empty());
    assert!(found("# check=experimental=all\n# c\n\nFROM a AS b").is_empty());
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
    assert!(
        shown.starts_with("WARNING: JSONArgsRecommended\n") && shown.contains("Dockerfile:2\n2 | CMD x"),
        "{shown}"
    );
    let json = to_json(&findings, "Dockerfile", text);
    assert_eq!(json["warnings"][0]["start"]["line"], 2);
    let sarif = to_sarif(&findings, "Dockerfile", text);
    assert_eq!(sarif["version"], "2.1.0");
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
            render_text(&findings, "Dockerfile", &text);
            to_sarif(&findings, "Dockerfile", &text);
        }
    }
}
