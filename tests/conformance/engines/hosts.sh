# shellcheck shell=bash
# What the judges that run daemons share: programs of Debian packages that are not installed, hosts made of namespaces, images without a network.

# unpack PACKAGE...: unpacks Debian packages, once for all judges, and puts their programs and libraries on the paths; the place is $ROOT.
unpack() {
    local half deb
    ROOT=$(dirname "$CACHE")/packages/$(echo "$*" | sha256sum | cut -c1-16)
    export ROOT
    if [ ! -d "$ROOT" ]; then
        # Made beside its place and renamed: what was interrupted is never taken for whole.
        half=$ROOT.$$
        mkdir -p "$half/debs"
        (cd "$half/debs" && apt-get -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$@") > "$WORK/apt.log" 2>&1 || skip_all "not to be had: $(grep '^E:' "$WORK/apt.log" | head -n 1)"
        for deb in "$half/debs"/*.deb; do dpkg-deb -x "$deb" "$half"; done
        rm -r "$half/debs"
        mv -T "$half" "$ROOT"
    fi
    export PATH=$ROOT/usr/bin:$ROOT/usr/sbin:$ROOT/usr/libexec:$PATH
    export LD_LIBRARY_PATH=$ROOT/usr/lib/$(uname -m)-linux-gnu:$ROOT/lib/$(uname -m)-linux-gnu
}

# image NAME TREE FILE CONFIG: an image of one layer in the form of `docker save`; CONFIG is the `config` member of its JSON.
image() {
    local dir=$3.parts
    mkdir -p "$dir"
    tar -C "$2" --numeric-owner --sort=name -cf "$dir/layer.tar" .
    printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$(dpkg --print-architecture)" "$4" "$(sha256sum "$dir/layer.tar" | cut -d ' ' -f 1)" > "$dir/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" > "$dir/manifest.json"
    tar -C "$dir" -cf "$3" manifest.json config.json layer.tar
    rm -r "$dir"
}

# A network of its own for one host: on_net NAME COMMAND... runs in it. (`ip netns exec` would hide the control groups.)
net() {
    ip netns add "$1"
    ip -n "$1" link set lo up
}
on_net() {
    local name=$1
    shift
    nsenter --net="/run/netns/$name" "$@"
}

# host NAME ADDRESS: a machine made of namespaces, with a /run, an /etc and a network of its own on the wire of all hosts; its files are in
# $WORK/NAME. on NAME COMMAND... runs there.
host() {
    local pid n=0
    [ -e /run/netns/wire ] || { net wire && ip -n wire link add wire0 type bridge && ip -n wire link set wire0 up; }
    mkdir -p "$WORK/$1"
    cp -a /etc "$WORK/$1/etc"
    # Refused at once, where a name server that is not there would be waited for.
    rm -f "$WORK/$1/etc/resolv.conf" && echo 'nameserver 127.0.0.1' > "$WORK/$1/etc/resolv.conf"
    unshare --mount --uts --ipc --net --propagation private bash -c '
        hostname "$1" && mount --bind "$2/etc" /etc && mount -t tmpfs -o mode=755 run /run && mkdir -p /run/lock && ip link set lo up || exit 1
        echo $$ > "$2/pid"; exec sleep 1000000' host "$1" "$WORK/$1" > "$WORK/$1/log" 2>&1 &
    until_true "host $1" test -s "$WORK/$1/pid"
    pid=$(cat "$WORK/$1/pid")
    ip -n wire link add "v-$1" type veth peer name eth0 netns "$pid"
    ip -n wire link set "v-$1" master wire0 up
    on "$1" ip addr add "$2/24" dev eth0
    on "$1" ip link set eth0 up
}
on() {
    local pid
    pid=$(cat "$WORK/$1/pid")
    shift
    nsenter --target "$pid" --mount --uts --ipc --net "$@"
}

# sweep NAME: ends what is left in the control groups of that name and removes them.
sweep() {
    local top pid dir
    for top in /sys/fs/cgroup/*/"$1" /sys/fs/cgroup/"$1"; do
        [ -d "$top" ] || continue
        while read -r dir; do
            [ ! -f "$dir/freezer.state" ] || echo THAWED > "$dir/freezer.state"
            # Processes of another PID namespace read as 0: they are not ours.
            while read -r pid; do [ "$pid" = 0 ] || kill -9 "$pid"; done < "$dir/cgroup.procs"
        done < <(find "$top" -depth -type d) 2> /dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            find "$top" -depth -type d -exec rmdir {} + 2> /dev/null
            [ -d "$top" ] || break
            sleep 0.1
        done
    done
}

# unmount: takes away what daemons have mounted in $WORK, so that the tree can be removed.
unmount() { findmnt -rno TARGET | grep "^$WORK/" | sort -r | xargs -r -n 1 umount -l; }

# group PID CONTROLLER: the directory of a process's control group, in the hierarchy of a v1 controller or the unified one.
group() {
    local path
    if path=$(grep -E "^[0-9]+:([a-z_,]*,)?$2(,[a-z_,]*)?:" "/proc/$1/cgroup"); then
        echo "/sys/fs/cgroup/$2${path##*:}"
    else
        echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup")"
    fi
}

# limit PID CONTROLLER V1-FILE V2-FILE
limit() {
    local dir
    dir=$(group "$1" "$2")
    if [ -f "$dir/$3" ]; then cat "$dir/$3"; else cat "$dir/$4"; fi
}
