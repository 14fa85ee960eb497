#!/bin/bash
# title: BuildKit
# about: The BuildKit of Docker 26.1, from Debian 13 in a root filesystem of its own, and `ctr-build` build the same Dockerfiles, those of
# about: `tests/data/build`, and the images are compared as with buildah. It is the reference's own builder, at the version of Debian: a check
# about: is skipped where that is older than what it is asked for, or where the reference has changed since.
# programs: ctr-build ctr-fetch
# packages: mmdebstrap skopeo busybox-static bzip2 xz-utils zstd attr python3
# limit: 120

# shellcheck source=engines/hosts.sh
. "$here/engines/hosts.sh"

DEBIAN=$CACHE/debian
export DOCKER_HOST=unix://$WORK/socket

fetch() {
    [ ! -d "$DEBIAN" ] || return 0
    rm -rf "$DEBIAN.half"
    mmdebstrap --quiet --variant=minbase --include=docker.io,docker-cli,docker-buildx,git,xz-utils trixie "$DEBIAN.half" > "$WORK/apt.log" 2>&1 \
        || skip_all "not to be had: $(grep '^E:' "$WORK/apt.log" | head -n 1)"
    mv -T "$DEBIAN.half" "$DEBIAN"
}

# A daemon in a mount namespace whose root is that Debian: runc takes no chroot. What a build needs of us lies in WORK.
daemon() {
    unshare --mount --propagation private bash -euc '
        mount --bind "$1" "$1" && cd "$1"
        mount -t proc proc proc && mount --rbind /sys sys && mount --rbind /dev dev
        mount -t tmpfs -o mode=755 run run && mount -t tmpfs tmp tmp
        mkdir -p ".$2" old && mount --bind "$2" ".$2"
        pivot_root . old && umount -l old && cd /
        echo $$ > "$2/pid"
        exec /usr/sbin/dockerd --host "$3" --data-root "$2/docker" --exec-root /run/docker --bridge=none --iptables=false --ip6tables=false \
            --ip-forward=false --storage-driver overlay2' dockerd "$DEBIAN" "$WORK" "$DOCKER_HOST" > "$WORK/dockerd.log" 2>&1 &
    until_true "a pid" test -s "$WORK/pid"
    until_true dockerd docker version
}
docker() { nsenter --target "$(cat "$WORK/pid")" --mount --wd=/ /usr/bin/docker "$@"; }

setup() {
    [ "$(basename "$RUNTIME")" = ctr-build ] || skip_all "it judges ctr-build"
    mkdir -p "$WORK/cases"
    python3 "$here/build_cases.py" setup "$WORK/cases" || skip_all "the base image cannot be made"
    skopeo copy --quiet --insecure-policy "oci:$WORK/cases/base:1" "docker-archive:$WORK/base.tar:base/busybox:1" || skip_all "no base image"
    (daemon) || { tail -n 20 "$WORK/dockerd.log"; skip_all "dockerd does not start here"; }
    docker load --quiet --input "$WORK/base.tar"
}

teardown() {
    local pid
    pid=$(cat "$WORK/pid")
    kill "$pid"
    timeout 10 tail --pid="$pid" -f /dev/null
    unmount
}

checks() { python3 "$here/build_cases.py" list; }
check() {
    # It panics at some Dockerfiles.
    docker version > /dev/null 2>&1 || daemon
    DOCKER_PID=$(cat "$WORK/pid") python3 "$here/build_cases.py" against buildkit "$RUNTIME" "$WORK/cases" "$1"
}
