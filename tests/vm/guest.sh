#!/bin/bash
# Runs in the machine of `cargo xtask vm-test`: every function check_* of checks/*.sh, each in a process of its own with a deadline.
# What it prints is read by xtask: "@fact TEXT", "@pass NAME SECONDS", "@fail NAME SECONDS", "@end"; everything else explains the next result.
#
#   guest.sh [PATTERN]    all checks whose name matches the pattern (a bash glob)
#   guest.sh FILE CHECK   one check, called by the above
set -u
export PATH=/payload/bin:/usr/sbin:/usr/bin:/sbin:/bin
export CTR_ROOT=/var/lib/ctr-vm HOME=/root LC_ALL=C.UTF-8
payload=/payload
deadline=90

die() { echo "$*"; exit 1; }

# same WHAT EXPECTED FOUND
same() { [ "$2" = "$3" ] || die "$1: expected \"$2\", found \"$3\""; }

# has WHAT PART TEXT
has() { case $3 in *"$2"*) ;; *) die "$1: no \"$2\" in: $3" ;; esac; }

# code WHAT EXPECTED COMMAND...: standard output and error go to $out.
code() {
    local what=$1 expected=$2 found
    shift 2
    out=$("$@" 2>&1 < /dev/null) && found=0 || found=$?
    [ "$found" = "$expected" ] || die "$what: expected exit code $expected, found $found: $out"
}

# The control group of a container.
group() { find /sys/fs/cgroup -type d -name "$1" | head -1; }

# until_true WHAT COMMAND...: ten seconds at most.
until_true() {
    local what=$1 n=0
    shift
    while ! "$@"; do
        n=$((n + 1))
        [ $n -lt 100 ] || die "never: $what"
        sleep 0.1
    done
}

# A busybox image in the store of $CTR_ROOT, or as an ordinary user in its own.
make_image() {
    local dir=/var/tmp/image
    mkdir -p $dir/rootfs/{bin,etc,dev,proc,sys,tmp,root}
    cp /bin/busybox $dir/rootfs/bin/
    chroot $dir/rootfs /bin/busybox --install -s /bin
    printf 'root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n' > $dir/rootfs/etc/passwd
    printf 'root:x:0:\nbob:x:1000:\n' > $dir/rootfs/etc/group
    ctr-image pack $dir/rootfs --cmd /bin/sh -o $dir/busybox.aci && chmod 644 $dir/busybox.aci && ctr-fetch -q $dir/busybox.aci --name busybox
}

one() {
    . "$1"
    set -e
    "$2"
}

all() {
    local pattern=$1 file name start result
    echo "@fact kernel $(uname -r), booted in $(cut -d' ' -f1 /proc/uptime) s, control groups: $(stat -fc %T /sys/fs/cgroup): $(cat /sys/fs/cgroup/cgroup.controllers)"
    echo "@fact init: $(readlink /proc/1/exe), security modules: $(cat /sys/kernel/security/lsm 2>/dev/null)"
    make_image > /tmp/image.log 2>&1 || { cat /tmp/image.log; echo "@fail image 0"; echo @end; exit; }
    for file in "$payload"/checks/*.sh; do
        for name in $(sed -n 's/^check_\([a-z0-9_]*\)().*/\1/p' "$file"); do
            # shellcheck disable=SC2053
            [[ $name == $pattern ]] || continue
            start=$(date +%s)
            result=fail
            timeout -k 5 $deadline bash "$payload/guest.sh" "$file" "check_$name" > /tmp/check.log 2>&1 < /dev/null && result=pass
            [ $result = pass ] || tail -c 4000 /tmp/check.log
            echo "@$result $name $(($(date +%s) - start))"
        done
    done
    echo @end
}

if [ $# = 2 ]; then one "$1" "$2"; else stty -F /dev/ttyS1 -opost 2> /dev/null; all "${1:-$(cat $payload/pattern 2> /dev/null || echo "*")}"; fi
