#!/bin/bash
# title: OCI runtime-tools
# about: The validation programs of the Open Container Initiative's runtime-tools, built from Debian's source package. Each makes bundles, calls
# about: the runtime, looks at the container from inside (`runtimetest`) or outside and prints what it found; one program is one check, and
# about: it fails if one of its points does. Each `kill` waits a moment: `killsig` sends its signals as soon as the state is `running`, and a
# about: container that is started in milliseconds has not set its trap by then. `runc` stands beside as a measure of what a program can tell here.
# packages: golang-go golang-github-opencontainers-specs-dev golang-github-opencontainers-selinux-dev golang-github-google-uuid-dev
# packages: golang-github-hashicorp-go-multierror-dev golang-github-mrunalp-fileutils-dev golang-github-blang-semver-dev dpkg-dev
# packages: golang-github-xeipuuv-gojsonschema-dev golang-gocapability-dev golang-github-sirupsen-logrus-dev golang-github-urfave-cli-dev
# packages: golang-golang-x-sys-dev
# limit: 60

# The programs are built when their source can be had: a judge's own namespaces have no network.
fetch() {
    [ "$(uname -m)" = x86_64 ] || skip_all "its root filesystem is for x86-64"
    [ ! -d "$(built)" ] || return 0
    # Made beside its place and renamed: what was interrupted is never taken for whole.
    rm -rf "$CACHE"/*
    bash "$here/runtime-tools/build.sh" "$(built).half" 2>&1 || skip_all "its programs could not be built"
    mv "$(built).half" "$(built)"
}

built() { echo "$CACHE/$(cat "$here"/runtime-tools/* | sha256sum | cut -c1-16)"; }

setup() {
    BUILT=$(built)
    export BUILT
    printf '#!/bin/sh\n[ "$1" != kill ] || sleep 0.3\nexec %s "$@"\n' "$RUNTIME" > "$WORK/runtime"
    chmod 755 "$WORK/runtime"
}

checks() { ls "$BUILT/programs"; }

# Programs that share control groups' names or leave containers behind must not meet: each has a directory of its own, and what is left is ended
# with the namespace.
check() {
    local status=0
    mkdir -p "$WORK/$1" && cd "$WORK/$1"
    cp "$BUILT/runtimetest" "$BUILT/rootfs-amd64.tar.gz" .
    RUNTIME=$WORK/runtime "$BUILT/programs/$1" > out.tap 2> err.txt || status=$?
    cat out.tap err.txt
    if [ "$(grep '^ *not ok' out.tap | grep -vc '# TODO')" != 0 ]; then
        echo
        grep '^ *not ok' out.tap | grep -v '# TODO' | sed 's/^ *not ok [0-9]* *-* */not ok: /' | sort -u | head -n 3 | paste -sd ';'
        exit 1
    fi
    [ $status = 0 ] || { echo; grep -v '^[[:space:]]*$' err.txt | tail -n 1; exit 1; }
    # Some count no points: they print an error, or nothing.
    if ! grep -q '^ok' out.tap; then
        if grep -q '"error":' out.tap; then
            sed -n 's/^ *"error": "\([^"\]*\).*/\1/p' out.tap
            exit 1
        fi
        return
    fi
    if [ "$(grep '^ok' out.tap | grep -vc '# SKIP')" = 0 ]; then skip "$(sed -n 's/.*# SKIP //p' out.tap | head -n 1)"; fi
}
