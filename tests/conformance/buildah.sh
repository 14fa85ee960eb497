#!/bin/bash
# title: buildah
# about: Debian's buildah with runc and `ctr-build` build the same Dockerfiles, those of `tests/data/build`, and the images are compared: flat trees
# about: (type, mode, owner, content, links, attributes) and configs; what is an error has to be one for both. A check is skipped where buildah cannot
# about: tell, since it lacks or differs from what the reference says; `ctr-build` is then held against the case alone, by the project's own tests.
# programs: ctr-build ctr-fetch
# packages: buildah runc skopeo busybox-static bzip2 xz-utils zstd attr python3
# limit: 120

setup() {
    [ "$(basename "$RUNTIME")" = ctr-build ] || skip_all "it judges ctr-build"
    mkdir -p "$WORK/cases"
    python3 "$here/build_cases.py" setup "$WORK/cases" || skip_all "the base image cannot be made"
}

checks() { python3 "$here/build_cases.py" list; }
check() { python3 "$here/build_cases.py" against buildah "$RUNTIME" "$WORK/cases" "$1"; }
