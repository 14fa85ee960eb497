//! Tables: what instructions mean, and what they refuse.

use std::collections::BTreeMap;

use crate::ast::parse;

/// The last instruction of `text`, as JSON.
fn read(text: &str) -> Result<serde_json::Value, (usize, String)> {
    let scope: BTreeMap<String, String> =
        [("v", "value"), ("two", "a b"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let failed = |error: crate::Error| (error.span().position(text).line, error.to_string());
    let file = parse(text).map_err(failed)?;
    let node = file.nodes().last().unwrap();
    let instruction = node.instruction(&scope, file.directives().escape).map_err(failed)?;
    Ok(serde_json::to_value(instruction).unwrap())
}

fn shown(text: &str) -> String {
    read(text).map_or_else(|(line, error)| format!("{line}: {error}"), |value| value.to_string())
}

#[test]
fn what_instructions_mean() {
    // spec: BUILD-5, BUILD-6
    for (text, expected) in [
        ("FROM $v:1 AS Stage", r#"{"From":{"image":"value:1","name":"stage","platform":null}}"#),
        ("FROM --platform=$v a", r#"{"From":{"image":"a","name":null,"platform":"value"}}"#),
        ("CMD echo $v", r#"{"Cmd":{"Shell":"echo $v"}}"#),
        ("CMD [\"a\", \"$v\"]", r#"{"Cmd":{"Exec":["a","$v"]}}"#),
        ("CMD ['a']", r#"{"Cmd":{"Shell":"['a']"}}"#),
        ("CMD []", r#"{"Cmd":{"Exec":[]}}"#),
        ("ENTRYPOINT [\"a\"]", r#"{"Entrypoint":{"Exec":["a"]}}"#),
        (
            "ENV a=1 b=\"x y\" c=$v",
            r#"{"Env":[{"key":"a","value":"1"},{"key":"b","value":"x y"},{"key":"c","value":"value"}]}"#,
        ),
        ("ENV a some  words $v", r#"{"Env":[{"key":"a","value":"some  words value"}]}"#),
        ("ENV a=$two", r#"{"Env":[{"key":"a","value":"a b"}]}"#),
        ("ENV a=b\\ c", r#"{"Env":[{"key":"a","value":"b c"}]}"#),
        ("LABEL \"a b\"=c", r#"{"Label":[{"key":"a b","value":"c"}]}"#),
        ("EXPOSE 80 $two", r#"{"Expose":["80","a","b"]}"#),
        ("VOLUME /a /b", r#"{"Volume":["/a","/b"]}"#),
        ("VOLUME [\"/a b\"]", r#"{"Volume":["/a b"]}"#),
        ("USER $v:1", r#"{"User":"value:1"}"#),
        ("WORKDIR /a b", r#"{"Workdir":"/a b"}"#),
        ("ARG a b=$v", r#"{"Arg":[{"name":"a","value":null},{"name":"b","value":"value"}]}"#),
        ("ARG v=1 b=$v", r#"{"Arg":[{"name":"v","value":"1"},{"name":"b","value":"1"}]}"#),
        ("ENV v=1 b=$v", r#"{"Env":[{"key":"v","value":"1"},{"key":"b","value":"value"}]}"#),
        ("ARG a=", r#"{"Arg":[{"name":"a","value":""}]}"#),
        ("STOPSIGNAL SIGTERM", r#"{"Stopsignal":"SIGTERM"}"#),
        ("MAINTAINER some one", r#"{"Maintainer":"some one"}"#),
        ("SHELL [\"/bin/ash\", \"-c\"]", r#"{"Shell":["/bin/ash","-c"]}"#),
        ("ONBUILD RUN echo $v", r#"{"Onbuild":"RUN echo $v"}"#),
        ("ONBUILD RUN <<E\nx\nE", r#"{"Onbuild":"RUN <<E\nx\nE"}"#),
        ("HEALTHCHECK NONE", r#"{"Healthcheck":"None"}"#),
        ("HEALTHCHECK --interval=1s none", r#"{"Healthcheck":"None"}"#),
        ("FROM --platform= a", r#"{"From":{"image":"a","name":null,"platform":null}}"#),
        ("CMD -- --x", r#"{"Cmd":{"Shell":"--x"}}"#),
        ("CMD [\"a\", 1", r#"{"Cmd":{"Shell":"[\"a\", 1"}}"#),
        ("CMD  [ \"a\" ] ", r#"{"Cmd":{"Exec":["a"]}}"#),
        ("CMD [\"a\"] b", r#"{"Cmd":{"Shell":"[\"a\"] b"}}"#),
        ("ENV a  b=c", r#"{"Env":[{"key":"a","value":"b=c"}]}"#),
        ("ENV a \"b c\"", r#"{"Env":[{"key":"a","value":"b c"}]}"#),
        ("ENV a=b\\", r#"{"Env":[{"key":"a","value":"b"}]}"#),
        ("ENV a='b\\' c=d", r#"{"Env":[{"key":"a","value":"b\\"},{"key":"c","value":"d"}]}"#),
        ("ENV a=\u{a0}b=c", r#"{"Env":[{"key":"a","value":""},{"key":"b","value":"c"}]}"#),
        ("LABEL a.b=\"c=\\\"d\\\"\" 'e'=f", r#"{"Label":[{"key":"a.b","value":"c=\"d\""},{"key":"e","value":"f"}]}"#),
        ("ARG $v=1", r#"{"Arg":[{"name":"$v","value":"1"}]}"#),
        ("VOLUME [\" /a \"]", r#"{"Volume":["/a"]}"#),
        ("ONBUILD RUN --network=none [\"a\"]", r#"{"Onbuild":"RUN --network=none [\"a\"]"}"#),
        (
            "# escape=`\nRUN a `\n\\b",
            r#"{"Run":{"command":{"Shell":"a \\b"},"heredocs":[],"insecure":false,"mounts":[],"network":null}}"#,
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn run_copy_and_add() {
    // spec: BUILD-4, BUILD-7
    let run = read("RUN --mount=type=cache,target=/c,id=$v,sharing=locked --mount=type=bind,src=a,dst=/b,rw --network=none x <<E\nb $v\nE").unwrap();
    let run = &run["Run"];
    assert_eq!(run["command"]["Shell"], "x <<E");
    assert_eq!((run["network"].as_str(), &run["insecure"]), (Some("none"), &serde_json::json!(false)));
    assert_eq!(run["heredocs"][0]["content"], "b $v\n", "the shell puts variables in");
    assert_eq!(
        (&run["mounts"][0]["Cache"]["id"], &run["mounts"][0]["Cache"]["sharing"]),
        (&"value".into(), &"locked".into())
    );
    assert_eq!(
        (&run["mounts"][1]["Bind"]["source"], &run["mounts"][1]["Bind"]["writable"]),
        (&"a".into(), &true.into())
    );
    let secret =
        |text: &str| read(&format!("RUN --mount=type=secret,{text} x")).unwrap()["Run"]["mounts"][0]["Secret"].clone();
    assert_eq!(secret("id=a")["target"], "/run/secrets/a");
    assert_eq!(
        (&secret("target=/x/key")["id"], &secret("id=a,env=A")["target"]),
        (&"key".into(), &serde_json::Value::Null)
    );
    assert_eq!(secret("id=a,mode=0440,required")["mode"], 0o440);
    let copy =
        read("COPY --from=b --chown=$v:1 --chmod=u+x --link --exclude=*.o --exclude=$v a \"b\" c\\ /d/").unwrap();
    let copy = &copy["Copy"];
    assert_eq!(copy["paths"]["sources"], serde_json::json!(["a", "b", "c"]));
    assert_eq!((&copy["paths"]["destination"], &copy["paths"]["chown"]), (&"/d/".into(), &"value:1".into()));
    assert_eq!(copy["paths"]["exclude"], serde_json::json!(["*.o", "$v"]));
    assert_eq!((&copy["link"], &copy["parents"]), (&true.into(), &false.into()));
    let copy = read("COPY <<a <<'b' c /d/\none $v\na\ntwo $v\nb").unwrap();
    assert_eq!(copy["Copy"]["paths"]["sources"], serde_json::json!(["c"]));
    let bodies = &copy["Copy"]["paths"]["heredocs"];
    assert_eq!((&bodies[0]["content"], &bodies[1]["content"]), (&"one value\n".into(), &"two $v\n".into()));
    // The escape character of heredocs is that of a shell, and vanishes.
    let copy = read("# escape=`\nCOPY <<-E /d\n\t\\$v \\\\ '$v' `\n\tE").unwrap();
    assert_eq!(copy["Copy"]["paths"]["heredocs"][0]["content"], "$v \\ 'value' `\n");
    let copy = read("COPY [\"<<E\", \"/d e/\"]").unwrap();
    assert_eq!(copy["Copy"]["paths"]["sources"], serde_json::json!(["<<E"]));
    let run = read("RUN cat <<  E >x\n$v\nE").unwrap();
    assert_eq!(
        (&run["Run"]["command"]["Shell"], &run["Run"]["heredocs"][0]["name"]),
        (&"cat <<  E >x".into(), &"E".into())
    );
    assert_eq!(secret("source=a/b")["target"], "/run/secrets/b");
    let add = read("ADD --checksum=sha256:x --keep-git-dir=true --unpack=false https://host.example/$v /").unwrap();
    assert_eq!(add["Add"]["paths"]["sources"], serde_json::json!(["https://host.example/value"]));
    assert_eq!((&add["Add"]["unpack"], &add["Add"]["keep_git_dir"]), (&false.into(), &true.into()));
    let check = read("HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD [\"a\"]").unwrap();
    let check = &check["Healthcheck"]["Check"];
    assert_eq!((&check["times"]["interval"]["secs"], &check["times"]["retries"]), (&90.into(), &3.into()));
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    // spec: BUILD-4, BUILD-7, BUILD-8
    for (text, line, part) in [
        ("FROM", 1, "FROM takes"),
        ("FROM a b", 1, "FROM takes"),
        ("FROM a as 1b", 1, "no name of a stage"),
        ("FROM $empty", 1, "base image is empty"),
        ("FROM --x=y a", 1, "no option --x"),
        ("FROM --platform a", 1, "needs a value"),
        ("FROM a\nCOPPY a b", 2, "no instruction \"COPPY\""),
        ("FROM a\nRUN", 2, "RUN takes a command"),
        ("FROM a\nRUN --network=bridge x", 2, "default, none or host"),
        ("FROM a\nRUN --security=x y", 2, "sandbox or insecure"),
        ("FROM a\nRUN --device=x y", 2, "no option --device"),
        ("FROM a\nRUN --mount=type=bind,target=/x,a\\\"b y", 2, "quote within a field"),
        ("FROM a\nRUN --mount= y", 2, "is empty"),
        ("FROM a\nRUN \\\n --mount=type=what,target=/x x", 3, "bind, cache, tmpfs"),
        ("FROM a\nRUN --mount=type=cache,target=/x,mode=9 x", 2, "octal"),
        ("FROM a\nRUN --mount=type=cache,target=/x,sharing=no x", 2, "shared, private or locked"),
        ("FROM a\nRUN --mount=type=cache,target=/x,strange=1 x", 2, "no key \"strange\""),
        ("FROM a\nRUN --mount=type=cache,target x", 2, "needs a value"),
        ("FROM a\nRUN --mount=type=tmpfs,target=/x,size=many x", 2, "a size"),
        ("FROM a\nRUN --mount=type=secret x", 2, "its id"),
        ("FROM a\nCOPY a", 2, "at least one source"),
        ("FROM a\nCOPY --from=a --from=b a b", 2, "stands twice"),
        ("FROM a\nCOPY --link=maybe a b", 2, "true or false"),
        ("FROM a\nCOPY --from=x <<E /y\nE", 2, "heredoc"),
        ("FROM a\nCOPY \\\n  a \\\n  ${x!} /y", 4, "not how a variable"),
        ("FROM a\nENV", 2, "KEY=VALUE"),
        ("FROM a\nENV a", 2, "KEY=VALUE"),
        ("FROM a\nENV a=b c", 2, "\"c\" is not KEY=VALUE"),
        ("FROM a\nENV =b", 2, "a name is empty"),
        ("FROM a\nARG", 2, "at least one name"),
        ("FROM a\nARG =b", 2, "a name is empty"),
        ("FROM a\nEXPOSE", 2, "at least one value"),
        ("FROM a\nVOLUME []", 2, "at least one path"),
        ("FROM a\nUSER", 2, "one value"),
        ("FROM a\nWORKDIR", 2, "one value"),
        ("FROM a\nSHELL /bin/sh", 2, "JSON list"),
        ("FROM a\nONBUILD", 2, "an instruction"),
        ("FROM a\nONBUILD FROM b", 2, "cannot be an ONBUILD trigger"),
        ("FROM a\nONBUILD ONBUILD RUN x", 2, "cannot be an ONBUILD trigger"),
        ("FROM a\nONBUILD WHAT x", 2, "no instruction \"WHAT\""),
        ("FROM a\nHEALTHCHECK", 2, "NONE or CMD"),
        ("FROM a\nHEALTHCHECK CMD", 2, "NONE or CMD"),
        ("FROM a\nHEALTHCHECK NONE x", 2, "NONE or CMD"),
        ("FROM a\nHEALTHCHECK --interval=x CMD y", 2, "a duration"),
        ("FROM a\nHEALTHCHECK --interval=10us CMD y", 2, "a duration"),
        ("FROM a\nHEALTHCHECK --retries=x CMD y", 2, "a number"),
        ("FROM a\nSTOPSIGNAL", 2, "one value"),
        ("FROM a\nCMD [\"a\", 1]", 2, "texts in quotes alone"),
        ("FROM a\nRUN [[\"a\"]]", 2, "texts in quotes alone"),
        ("FROM a\nCOPY [\"a\", null]", 2, "texts in quotes alone"),
        ("FROM a\nVOLUME [1]", 2, "texts in quotes alone"),
        ("FROM a\nSHELL [1]", 2, "texts in quotes alone"),
        ("FROM a\nHEALTHCHECK CMD [1]", 2, "texts in quotes alone"),
        ("FROM a\nHEALTHCHECK CMD []", 2, "NONE or CMD"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD y", 2, "a number"),
        ("FROM a\nHEALTHCHECK --retries=2147483648 CMD y", 2, "a number"),
        ("FROM a\nHEALTHCHECK --timeout=-1s CMD y", 2, "a duration"),
        ("FROM a\nHEALTHCHECK --timeout=9999999h CMD y", 2, "a duration"),
        ("FROM a\nCMD --x", 2, "the instruction has none"),
        ("FROM a\nENV --x=y a=b", 2, "no option --x"),
        ("FROM a\nONBUILD --x RUN y", 2, "no option --x"),
        ("FROM a\nCOPY \"b c\" /d", 2, "double quote is not closed"),
        ("FROM a\nVOLUME '/b c'", 2, "single quote is not closed"),
        ("FROM a\nEXPOSE \"80 81\"", 2, "double quote is not closed"),
        ("FROM a\nENV \"a b\" c", 2, "double quote is not closed"),
        ("FROM a\nCOPY a <<E\nE", 2, "cannot be the destination"),
        ("FROM a\nCOPY --from=$v a b", 2, "without variables"),
        ("FROM a\nCOPY --link=1 a b", 2, "true or false"),
        ("FROM a\nRUN --mount=type=bind,target=/x,from=$v y", 2, "without variables"),
        ("FROM a\nRUN --mount=type=cache,target=/x,required y", 2, "of type cache has no required"),
        ("FROM a\nRUN --mount=type=tmpfs,target=/x,mode=1 y", 2, "of type tmpfs has no mode"),
        ("FROM a\nRUN --mount=type=secret,id=x,source=y z", 2, "of type secret has no source beside id"),
        ("FROM a\nRUN --mount=type=bind,target=/x,rw=yes y", 2, "true or false"),
    ] {
        let (at, error) = read(text).expect_err(text);
        assert!(at == line && error.contains(part), "{text}: line {at}: {error}");
    }
}

#[test]
fn errors_show_their_line() {
    // spec: BUILD-8
    let text = "FROM a\nRUN \\\n\t--network=bridge x\n";
    let file = parse(text).unwrap();
    let scope = BTreeMap::new();
    let error = file.nodes()[1].instruction(&scope, '\\').unwrap_err();
    let expected = "Dockerfile:3:2: --network takes default, none or host, not \"bridge\"\n3 | \t--network=bridge x\n  | \t^^^^^^^^^^^^^^^^";
    assert_eq!(error.render("Dockerfile", text), expected);
}
