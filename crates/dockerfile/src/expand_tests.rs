//! Tables of the language's expansions.

use super::*;

fn scope() -> BTreeMap<String, String> {
    [("x", "value"), ("empty", ""), ("path", "/a/b/c.tar.gz"), ("two", "one  two"), ("PWD", "/home"), ("q", "a\"b'c")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn word(text: &str) -> String {
    let scope = scope();
    Expander::new(&scope, '\\').word(text).unwrap_or_else(|error| format!("error: {error}"))
}

#[test]
fn one_word() {
    // spec: BUILD-6
    for (text, expected) in [
        ("", ""),
        ("plain text", "plain text"),
        ("$x", "value"),
        ("${x}", "value"),
        ("a${x}b$x", "avaluebvalue"),
        ("$xy", ""),
        ("$missing", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("\\$x", "$x"),
        ("\\\\$x", "\\value"),
        ("'$x'", "$x"),
        ("\"$x\"", "value"),
        ("\"\\$x\"", "$x"),
        ("\"\\a\"", "\\a"),
        ("\"\\\"\"", "\""),
        ("'a\\'", "a\\"),
        ("a\\ b", "a b"),
        ("a\\", "a"),
        ("$1", ""),
        ("$12a", "a"),
        ("$@$*$#$?$-$$$!", ""),
        ("${1}", ""),
        ("$q", "a\"b'c"),
        ("'it''s'", "its"),
        ("${x:-w}", "value"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${missing:-w}", "w"),
        ("${missing-w}", "w"),
        ("${missing:-}", ""),
        ("${x:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${missing:+w}", ""),
        ("${missing+w}", ""),
        ("${x:?w}", "value"),
        ("${empty?w}", ""),
        ("${missing:-${x}}", "value"),
        ("${missing:-${also:-deep}}", "deep"),
        ("${missing:-a b}", "a b"),
        ("${missing:-'a}b'}", "a}b"),
        ("${missing:-\"$x\"}", "value"),
        ("${missing:-\\}}", "}"),
        ("${path#/}", "a/b/c.tar.gz"),
        ("${path#*/}", "a/b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "/a/b/c.tar"),
        ("${path%%.*}", "/a/b/c"),
        ("${path%/*}", "/a/b"),
        ("${path%%/*}", ""),
        ("${path#x}", "/a/b/c.tar.gz"),
        ("${path#?a}", "/b/c.tar.gz"),
        ("${path%z}", "/a/b/c.tar.g"),
        ("${x#${x}}", ""),
        ("${x#\\*}", "value"),
        ("${path#\\*/}", "/a/b/c.tar.gz"),
        ("${path#*\\/}", "a/b/c.tar.gz"),
        ("$\u{e4}b", ""),
        ("${x/$empty/-}", "-value"),
        ("${x//$empty/-}", "-v-a-l-u-e-"),
        ("${x//*/-}", "-"),
        ("${x/q/-}", "value"),
        ("${empty/*/-}", "-"),
        ("${missing//a/-}", ""),
        ("${missing#a}", ""),
        ("${path/\\//-}", "-a/b/c.tar.gz"),
        ("${path//\\//-}", "-a-b-c.tar.gz"),
        ("${x/a/}", "vlue"),
        ("${x/v*e/w}", "w"),
        ("${x//?/x}", "xxxxx"),
        ("${x/nothing/w}", "value"),
        ("${x/a/${x}}", "vvaluelue"),
        ("${x//l/$x}", "vavalueue"),
        ("$x/$PWD", "value//home"),
        ("ä$x→", "ävalue→"),
    ] {
        assert_eq!(word(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    // spec: BUILD-6
    for (text, expected) in [
        ("${", "not how a variable"),
        ("${}", "not how a variable"),
        ("${ x}", "not how a variable"),
        ("${x", "not closed"),
        ("${x:", "not closed"),
        ("${x:-a", "not closed"),
        ("${x:#a}", "not how a variable"),
        ("${x:=a}", "not how a variable"),
        ("${x!}", "not how a variable"),
        ("${x/a}", "not closed"),
        ("'a", "single quote"),
        ("\"a", "double quote"),
        ("\"a\\", "double quote"),
        ("${missing:?}", "missing is not set"),
        ("${missing?give one}", "missing is required: give one"),
        ("${empty:?no}", "empty is required: no"),
        ("${x:-${y!}}", "not how a variable"),
    ] {
        assert!(word(text).starts_with("error: ") && word(text).contains(expected), "{text}: {}", word(text));
    }
}

#[test]
fn words_are_divided() {
    let words = |text: &str| {
        let scope = scope();
        Expander::new(&scope, '\\').words(text).unwrap().join("|")
    };
    for (text, expected) in [
        ("", ""),
        ("a  b", "a|b"),
        ("a\tb ", "a|b"),
        ("$two", "one|two"),
        ("\"$two\"", "one  two"),
        ("a$two", "aone|two"),
        ("'a b' c", "a b|c"),
        ("a\\ b c", "a b|c"),
        ("\"\" a", "|a"),
        ("$empty a", "a"),
        ("\"$empty\"", ""),
        ("${missing:-a b}", "a|b"),
        ("\"${missing:-a b}\"", "a b"),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn nothing_grows_without_end() {
    // spec: BUILD-6
    let mut scope = BTreeMap::new();
    scope.insert("a".to_owned(), "a".repeat(2000));
    let expander = Expander::new(&scope, '\\');
    let word = format!("${{a//a/{}}}", "b".repeat(2000));
    assert_eq!(expander.word(&word), Err(ExpandError::TooLong));
    let deep = "${x:-".repeat(MAX_NESTING + 1);
    assert_eq!(expander.word(&deep), Err(ExpandError::TooDeep));
    assert!(expander.word(&format!("{}{}", "${x:-".repeat(MAX_NESTING), "}".repeat(MAX_NESTING))).is_ok());
    // One that fits nowhere is not tried everywhere.
    let long: BTreeMap<String, String> = [("x".to_owned(), "ab".repeat(200_000))].into();
    for (text, length) in [("${x//*q/}", 400_000), ("${x//a*q/}", 400_000), ("${x//a*bb/}", 400_000), ("${x//a*a/}", 1)]
    {
        assert_eq!(Expander::new(&long, '\\').word(text).unwrap().len(), length, "{text}");
    }
    // A pattern of many stars over a long value ends.
    assert_eq!(expander.word(&format!("${{a#{}b}}", "*a".repeat(200))).unwrap().len(), 2000);
}

#[test]
fn the_escape_character_is_the_dockerfile_s() {
    let scope = scope();
    let word = |text: &str| Expander::new(&scope, '`').word(text).unwrap();
    assert_eq!((word("`$x").as_str(), word("c:\\$x").as_str()), ("$x", "c:\\value"));
    let body = Expander::new(&scope, '\\').of_heredoc();
    assert_eq!(body.word("'$x' \"${x}\" \\n").unwrap(), "'value' \"value\" n");
    assert_eq!(Expander::new(&scope, '`').of_heredoc().word("\\$x \\\\ `$x").unwrap(), "$x \\ `value");
}

#[test]
fn no_text_is_too_strange() {
    let alphabet: Vec<char> = "${}:-+?#%/*\\'\"ax ".chars().collect();
    let scope = scope();
    let mut state = 1u64;
    for _ in 0..20_000 {
        let text: String = (0..12)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]
            })
            .collect();
        let one = Expander::new(&scope, '\\').word(&text);
        let many = Expander::new(&scope, '\\').words(&text);
        assert_eq!(one.is_ok(), many.is_ok(), "{text}");
    }
}
