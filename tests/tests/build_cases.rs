//! The Dockerfiles of `tests/data/build`, built by `ctr-build`: one test for each group of cases.

use std::collections::BTreeSet;

use ctr_tests::build::case::{self, Case, Expect};
use ctr_tests::build::{Builder, assert_none, failures, unexpected};
use ctr_tests::need;

/// Builds the cases of a group. All that are not as they should be are shown together.
fn group(name: &str) {
    need!(root, "zstd", "gzip");
    let cases: Vec<Case> = case::all().into_iter().filter(|case| case.group() == name).collect();
    let builder = Builder::new();
    let failed = failures(&cases, |case| builder.check(case));
    assert_none(cases.len(), &unexpected(&cases, failed, &case::known_differences()));
    assert_eq!(builder.remains(), Vec::<String>::new());
}

macro_rules! groups {
    ($($name:ident)*) => {
        /// Groups that have a test.
        const GROUPS: &[&str] = &[$(stringify!($name)),*];

        mod group {
            $(#[test] fn $name() { super::group(stringify!($name)) })*
        }
    };
}

groups! {
    add arg cmd copy entrypoint env error expose healthcheck heredoc ignore label maintainer mount onbuild run shell stage stopsignal syntax user
    volume workdir
}

#[test]
fn every_group_has_a_test_and_every_known_difference_a_case() {
    let cases = case::all();
    let found: BTreeSet<&str> = cases.iter().map(Case::group).collect();
    assert_eq!(found, GROUPS.iter().copied().collect());
    for (name, reason) in case::known_differences() {
        assert!(cases.iter().any(|case| case.name == name) && !reason.is_empty(), "{name}: {reason:?}");
    }
}

/// A part of the cases, built twice with the cache: the same image, also as a single tar.
fn again(part: usize) {
    const PARTS: usize = 4;
    need!(root, "zstd", "gzip");
    let known = case::known_differences();
    let image = |case: &Case| case.settings.expect == Expect::Image && !known.contains_key(&case.name);
    let cases: Vec<Case> = case::all().into_iter().filter(image).skip(part).step_by(PARTS).collect();
    let builder = Builder::new();
    assert_none(cases.len(), &failures(&cases, |case| builder.check_again(case)));
    assert_eq!(builder.remains(), Vec::<String>::new());
}

#[test]
fn again_is_the_same_image_part_0() {
    again(0);
}

#[test]
fn again_is_the_same_image_part_1() {
    again(1);
}

#[test]
fn again_is_the_same_image_part_2() {
    again(2);
}

#[test]
fn again_is_the_same_image_part_3() {
    again(3);
}
