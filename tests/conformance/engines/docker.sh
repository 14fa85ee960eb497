# shellcheck shell=bash
# Docker on hosts made of namespaces, for the judges of it.

BB=bb:1

docker_programs() { unpack docker.io containerd tini; }

# dockerd_on HOST ADDRESS GROUP: a host with a Docker daemon whose default runtime is judged; containers' control groups are made in /GROUP.
dockerd_on() {
    local dir=$WORK/$1
    host "$1" "$2"
    mkdir -p "$dir/lib"
    cat > "$dir/daemon.json" <<END
{"runtimes": {"ctr": {"path": "$RUNTIME"}}, "default-runtime": "ctr", "storage-driver": "overlay2",
 "cgroup-parent": "/$3", "exec-opts": ["native.cgroupdriver=cgroupfs"], "data-root": "$dir/lib", "exec-root": "/run/docker",
 "hosts": ["unix://$dir/socket"], "userland-proxy-path": "$ROOT/usr/sbin/docker-proxy", "init-path": "$ROOT/usr/bin/tini-static"}
END
    on "$1" dockerd --config-file "$dir/daemon.json" > "$dir/log" 2>&1 &
    until_true "dockerd on $1" docker -H "unix://$dir/socket" version
    docker -H "unix://$dir/socket" load -i "$WORK/bb.tar" > /dev/null
}

# ended HOST...: the daemons are told to end, so that they unmount what is theirs.
ended() {
    local host
    for host in "$@"; do
        [ ! -s "/proc/$(cat "$WORK/$host/pid")/root/run/docker.pid" ] || kill "$(cat "/proc/$(cat "$WORK/$host/pid")/root/run/docker.pid")"
    done 2> /dev/null
    for host in "$@"; do timeout 10 tail --pid="$(cat "/proc/$(cat "$WORK/$host/pid")/root/run/docker.pid")" -f /dev/null; done 2> /dev/null
}

# page ADDRESS/PORT: what an HTTP server gives.
page() { timeout 3 bash -c "exec 3<> /dev/tcp/$1; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3"; }
WEB='mkdir /www; echo served by $(hostname) > /www/index.html; httpd -f -p 80 -h /www'
