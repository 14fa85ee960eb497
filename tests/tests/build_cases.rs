//! The Dockerfiles of `tests/data/build`, built by `ctr-build`: one test for each group of cases.

use std::collections::BTreeSet;

use ctr_tests::build::case::{self, Case, Expect};
use ctr_tests::build::{Builder, assert_none, failures, unexpected};
use ctr_tests::{need, users};

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

// spec: BUILD-1 to BUILD-8, BUILD-35 to BUILD-37
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

/// A fourth of the cases that give an image.
fn images(part: usize) -> Vec<Case> {
    let known = case::known_differences();
    let image = |case: &Case| case.settings.expect == Expect::Image && !known.contains_key(&case.name);
    case::all().into_iter().filter(image).skip(part).step_by(4).collect()
}

/// A part of the cases, built again with and without the cache: the same image, also as a single tar.
fn again(part: usize) {
    need!(root, "zstd", "gzip");
    let cases = images(part);
    let builder = Builder::new();
    assert_none(cases.len(), &failures(&cases, |case| builder.check_again(case)));
    assert_eq!(builder.remains(), Vec::<String>::new());
}

/// A part of the cases, built by an ordinary user: the image that root makes.
fn rootless(part: usize) {
    need!(root, "zstd", "gzip", "setpriv");
    let cases = images(part);
    let (root, user) = (Builder::new(), Builder::of_user(users::with_range()));
    assert_none(cases.len(), &failures(&cases, |case| root.check_same(&user, case)));
    assert_eq!(user.remains(), Vec::<String>::new());
}

/// A part of the cases, built by root of a container, in a chroot: the image that root of the host makes.
// spec: BUILD-146
fn contained(part: usize) {
    need!(root, "zstd", "gzip", "setpriv");
    let cases: Vec<Case> = images(part).into_iter().filter(|case| !case.settings.skip.contains_key("chroot")).collect();
    let (root, contained) = (Builder::new(), Builder::contained());
    assert_none(cases.len(), &failures(&cases, |case| root.check_same(&contained, case)));
    assert_eq!(contained.remains(), Vec::<String>::new());
}

macro_rules! parts {
    ($($name:ident $part:literal)*) => {
        mod again { $(#[test] fn $name() { super::again($part) })* }
        mod contained { $(#[test] fn $name() { super::contained($part) })* }
        mod rootless { $(#[test] fn $name() { super::rootless($part) })* }
    };
}

parts! { part_0 0 part_1 1 part_2 2 part_3 3 }
