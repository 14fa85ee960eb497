#!/bin/bash
# What the judges of `cargo xtask conformance` share. Called as
#   frame.sh JUDGE --fetch      runs its `fetch`, in the machine's own namespaces: what comes from the network is brought to CACHE
#   frame.sh JUDGE GLOB         sets up JUDGE.sh and runs each of its checks whose name matches, in the order in which they stand
#   frame.sh JUDGE --one NAME   one check, called by the above
#   frame.sh JUDGE --transcript runs the sessions transcripts/JUDGE*.txt instead of the checks and prints them with what they print
# all but the first in a mount, a network and a PID namespace of its own, with
#   RUNTIME   the runtime, an absolute path
#   WORK      an empty directory, removed at the end     CACHE   a directory that is kept between runs
#   LIMIT     seconds for one check
# A judge is a script of functions: setup (once; what it exports reaches the checks), check_NAME (a process each, `set -e`), teardown.
# Where checks are not known beforehand it has `checks`, which prints names, and `check NAME`.
# What is printed is read by xtask: "@pass NAME", "@fail NAME WHY", "@skip NAME WHY", "@skip-all WHY", "@end"; all else explains the next result.
set -u
judge=$1
here=$(cd "$(dirname "$0")" && pwd)
export RUNTIME WORK CACHE LIMIT
export LC_ALL=C.UTF-8 HOME=/root TMPDIR=$WORK/tmp

die() { echo "$*"; exit 1; }

# Ends the check: it cannot tell anything here.
skip() { echo "$*"; exit 77; }

# Ends the judge, in setup.
skip_all() { echo "@skip-all $*"; exit 0; }

# same WHAT EXPECTED FOUND
same() { [ "$2" = "$3" ] || die "$1: expected \"$2\", found \"$3\""; }

# has WHAT PART TEXT
has() { case $3 in *"$2"*) ;; *) die "$1: no \"$2\" in: $3" ;; esac; }

# lacks WHAT PART TEXT
lacks() { case $3 in *"$2"*) die "$1: there is \"$2\" in: $3" ;; esac; }

# code WHAT EXPECTED COMMAND...: standard output and error go to $out.
code() {
    local what=$1 expected=$2 found
    shift 2
    out=$("$@" 2>&1 < /dev/null) && found=0 || found=$?
    [ "$found" = "$expected" ] || die "$what: expected exit code $expected, found $found: $out"
}

# until_true WHAT COMMAND...: twenty seconds at most.
until_true() {
    local what=$1 n=0
    shift
    while ! "$@" > /dev/null 2>&1; do
        n=$((n + 1))
        [ $n -lt 200 ] || die "never: $what"
        sleep 0.1
    done
}

# A root filesystem of busybox, with an account.
busybox_tree() {
    mkdir -p "$1"/{bin,dev,etc,home/bob,mnt,proc,root,run,sys,tmp,usr,var}
    chmod 1777 "$1/tmp"
    cp "$(command -v busybox)" "$1/bin/busybox"
    chroot "$1" /bin/busybox --install -s /bin
    printf 'root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n' > "$1/etc/passwd"
    printf 'root:x:0:\nbob:x:1000:\n' > "$1/etc/group"
}

set -o pipefail
fetch() { :; }
setup() { :; }
teardown() { :; }
checks() { sed -n 's/^check_\([a-z0-9_]*\)().*/\1/p' "$here/$judge.sh"; }
check() { "check_$1"; }

# The host as the judge sees it: a /run of its own, so that no runtime's state meets another's.
private_host() {
    mkdir -p "$TMPDIR"
    mount -t tmpfs -o mode=755 run /run
    mkdir -p /run/lock
    ip link set lo up
    # crun refuses a host with both versions of control groups.
    [ "$(basename "$RUNTIME")" != crun ] || umount /sys/fs/cgroup/unified 2> /dev/null || true
}

# The last words of a check, on one line, without places of this machine.
last_words() {
    grep -v '^[[:space:]]*$' "$1" | tail -n 1 | cut -c1-300 | sed -e "s#$WORK#WORK#g; s#$CACHE#CACHE#g; s#$RUNTIME#RUNTIME#g" | tr -d '\r'
}

all() {
    local pattern=$1 name status
    private_host
    setup
    trap teardown EXIT
    for name in $(checks); do
        # shellcheck disable=SC2053
        [[ $name == $pattern ]] || continue
        timeout -k 5 "$LIMIT" bash "$here/frame.sh" "$judge" --one "$name" > "$WORK/check.log" 2>&1 < /dev/null && status=0 || status=$?
        case $status in
        0) echo "@pass $name" ;;
        77) echo "@skip $name $(last_words "$WORK/check.log")" ;;
        124 | 137) tail -c 3000 "$WORK/check.log"; echo "@fail $name no end within $LIMIT s" ;;
        *) tail -c 3000 "$WORK/check.log"; echo "@fail $name $(last_words "$WORK/check.log")" ;;
        esac
    done
    echo @end
}

# A session is what a user types: "$ COMMAND", or "HOST$ COMMAND" after the judge's function `at HOST`. Lines without a prompt are run and
# not shown: they make things and wait. The runtime is where documentation has it.
transcripts() {
    local file
    private_host
    mount -t tmpfs -o mode=755 bin /usr/local/bin
    cp "$RUNTIME" /usr/local/bin/ctr-oci
    RUNTIME=/usr/local/bin/ctr-oci
    setup
    trap teardown EXIT
    for file in "$here/transcripts/$judge".txt "$here/transcripts/$judge".*.txt; do
        [ -f "$file" ] || continue
        echo "@transcript $(basename "$file" .txt)"
        session "$file"
    done
    echo @end
}
session() {
    local line last=0 prompt='^([a-z0-9]*)\$ (.*)'
    while IFS= read -r line <&9; do
        if [[ $line =~ $prompt ]]; then
            [ -z "${BASH_REMATCH[1]}" ] || at "${BASH_REMATCH[1]}"
            echo "| $line"
            typed "$last" "${BASH_REMATCH[2]}" > "$WORK/typed" 2>&1 < /dev/null && last=0 || last=$?
            without_places < "$WORK/typed" | sed 's/^/| /'
        elif [[ $line != '#'* ]]; then
            eval "$line" || die "in $1: $line"
        fi
    done 9< "$1"
}
# typed STATUS COMMAND: a command after one that ended with that status.
typed() { (exit "$1"); eval "$2"; }
# Ids are cut and places of the judge are not shown.
without_places() {
    tr -d '\r' | sed -E "s#$WORK#/srv#g; s/\b([0-9a-f]{12})[0-9a-f]{52}\b/\1/g; s/(SWMTKN-1-[0-9a-z]{6})[0-9a-z-]*/\1.../g; s/[[:space:]]+\$//"
}

# shellcheck disable=SC1090
. "$here/$judge.sh"
case $2 in
--fetch) fetch && echo @end ;;
--one) set -e && check "$3" ;;
--transcript) transcripts ;;
*) all "$2" ;;
esac
