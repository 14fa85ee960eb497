#!/bin/bash
# title: Podman
# about: Debian's Podman with `--runtime`: the flows that people use, each with its result asserted. Storage, state and configuration are private to
# about: the run, control groups are made by `cgroupfs`, the image is a busybox tree brought by `podman import`. Ulimits are lowered for a root
# about: without `CAP_SYS_RESOURCE`.
# packages: podman buildah conmon netavark catatonit busybox-static uidmap slirp4netns fuse-overlayfs iptables jq bsdutils
# limit: 90

# The files that tell Podman where everything is; $1 is the directory, $2 the runtime.
configure() {
    mkdir -p "$1"/{graph,run,tmp}
    cat > "$1/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:2048"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "judge"
tmp_dir = "$1/tmp"
network_cmd_path = "/usr/bin/slirp4netns"
[engine.runtimes]
judge = ["$2"]
[network]
network_backend = "netavark"
network_config_dir = "$1/networks"
END
    cat > "$1/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$1/graph"
runroot = "$1/run"
END
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' > "$1/policy.json"
    echo 'unqualified-search-registries = []' > "$1/registries.conf"
}

use() { export CONTAINERS_CONF=$1/containers.conf CONTAINERS_STORAGE_CONF=$1/storage.conf CONTAINERS_REGISTRIES_CONF=$1/registries.conf; }

setup() {
    configure "$WORK/podman" "$RUNTIME"
    use "$WORK/podman"
    busybox_tree "$WORK/tree"
    tar -C "$WORK/tree" -cf "$WORK/bb.tar" .
    podman import -q --change CMD=/bin/sh "$WORK/bb.tar" bb > /dev/null || skip_all "podman import failed"
}

teardown() {
    podman rm -fa -t 0 > /dev/null 2>&1
    podman pod rm -fa > /dev/null 2>&1
    umount "$WORK/podman/graph/overlay" 2> /dev/null
    rmdir /sys/fs/cgroup/*/libpod_parent 2> /dev/null
}

# A container that sleeps: sleeper NAME [OPTION...]
sleeper() {
    local name=$1
    shift
    podman run -d --name "$name" --network none "$@" bb sleep 1000 > /dev/null
}

state() { podman inspect --format '{{.State.Status}}' "$1"; }
is() { [ "$(state "$1")" = "$2" ]; }
# once [OPTION...] bb COMMAND: what a container prints.
once() { podman run --rm --network none "$@"; }

# Where a container's group lies in the hierarchy of a v1 controller, or the unified one.
group() {
    local pid base=/sys/fs/cgroup path
    pid=$(podman inspect --format '{{.State.Pid}}' "$1")
    if path=$(grep -E "^[0-9]+:([a-z_,]*,)?$2(,[a-z_,]*)?:" "/proc/$pid/cgroup"); then echo "$base/$2${path##*:}"; else echo "$base$(sed -n 's/^0:://p' "/proc/$pid/cgroup")"; fi
}

# limit NAME CONTROLLER V1-FILE V2-FILE
limit() {
    local dir
    dir=$(group "$1" "$2")
    if [ -f "$dir/$3" ]; then cat "$dir/$3"; else cat "$dir/$4"; fi
}

check_run() { same output "hello 1" "$(once bb sh -c 'echo hello $$')"; }
check_run_status() { code "status" 7 once bb sh -c 'exit 7'; }
check_run_status_signal() { code "killed" 143 once --init bb sh -c 'kill -TERM $$; sleep 5'; }
check_run_not_found_127() { code "no program" 127 once bb /no/such/program; }
check_run_not_in_path_127() { code "no program" 127 once bb no-such-program; }
check_run_not_executable_126() { code "no program" 126 once bb /etc/passwd; }
check_run_directory_126() { code "a directory" 126 once bb /etc; }
check_run_bad_option_125() { code "option" 125 once --no-such-option bb true; }
check_run_stdin() { same output "from stdin" "$(echo 'from stdin' | podman run -i --rm --network none bb cat)"; }
check_run_streams() {
    same stdout out "$(once bb sh -c 'echo out; echo err >&2' 2> /dev/null)"
    same stderr err "$(once bb sh -c 'echo out; echo err >&2' 2>&1 > /dev/null)"
}
check_run_tty() {
    out=$(script -qec "podman run -it --rm --network none bb sh -c 'tty; stty size'" /dev/null < /dev/null | tr -d '\r')
    has "a terminal" /dev/ "$out"
}
check_run_workdir_env() { same output "/tmp value" "$(once -w /tmp -e NAME=value bb sh -c 'echo $PWD $NAME')"; }
check_run_hostname() { same output name "$(once --hostname name bb hostname)"; }
check_run_detached() {
    sleeper detached
    same state running "$(state detached)"
    has "ps" detached "$(podman ps --format '{{.Names}}')"
    podman rm -f -t 0 detached
    code "gone" 1 podman container exists detached
}
check_logs() {
    podman run -d --name logs --network none bb sh -c 'echo one; echo two >&2; echo three' > /dev/null
    podman wait logs > /dev/null
    same logs "one three two" "$(podman logs logs 2>&1 | sort | paste -sd ' ')"
    same stdout "one three" "$(podman logs logs 2> /dev/null | paste -sd ' ')"
}
check_logs_follow() {
    podman run -d --name follow --network none bb sh -c 'for i in 1 2 3; do echo $i; sleep 1; done' > /dev/null
    same lines "1 2 3" "$(timeout 30 podman logs -f follow | tr '\n' ' ' | sed 's/ $//')"
}
check_wait() {
    podman run -d --name waiting --network none bb sh -c 'sleep 1; exit 9' > /dev/null
    same status 9 "$(podman wait waiting)"
    same state "exited 9" "$(podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' waiting)"
}
check_exec() {
    sleeper exec
    same output "in 0" "$(podman exec exec sh -c 'echo in $(id -u)')"
    code "status" 5 podman exec exec sh -c 'exit 5'
    same user 1000 "$(podman exec -u bob exec id -u)"
    same dir "/tmp x" "$(podman exec -w /tmp -e A=x exec sh -c 'echo $PWD $A')"
    same stdin piped "$(echo piped | podman exec -i exec cat)"
}
check_exec_not_found_127() { sleeper exec127; code "no program" 127 podman exec exec127 no-such-program; }
check_exec_not_executable_126() { sleeper exec126; code "no program" 126 podman exec exec126 /etc/passwd; }
check_exec_tty() {
    sleeper exectty
    out=$(script -qec "podman exec -it exectty sh -c 'tty; echo on a \$TERM'" /dev/null < /dev/null | tr -d '\r')
    has "a terminal" /dev/ "$out"
    has "TERM" "on a " "$out"
}
check_exec_tty_typing() {
    sleeper typing
    out=$({ sleep 2; printf 'echo $((40+2))\n'; sleep 1; printf 'exit 4\n'; sleep 1; } | timeout 60 script -qec "podman exec -it typing sh" /dev/null | tr -d '\r') && status=0 || status=$?
    has "what was typed" 42 "$out"
    same status 4 "$status"
}
check_exec_detached() {
    sleeper execd
    podman exec -d execd sh -c 'echo done > /tmp/flag; sleep 100'
    until_true "the flag" podman exec execd test -f /tmp/flag
    podman kill execd > /dev/null
}
check_exec_of_stopped() {
    podman run --name execstopped --network none bb true
    code "stopped" 255 podman exec execstopped true
    has "message" "running" "$out"
}
check_exec_privileged_caps() {
    sleeper execcaps --cap-drop all
    same caps 0000000000000000 "$(podman exec execcaps sed -n 's/^CapEff:.//p' /proc/self/status)"
    lacks "privileged" 0000000000000000 "$(podman exec --privileged execcaps sed -n 's/^CapEff:.//p' /proc/self/status)"
}
check_kill_137() {
    sleeper kill
    podman kill kill > /dev/null
    same status 137 "$(podman wait kill)"
}
check_kill_named_signal() {
    podman run -d --name usr1 --network none bb sh -c 'trap "exit 44" USR1; echo ready; while :; do sleep 0.1; done' > /dev/null
    until_true "trap" sh -c 'podman logs usr1 | grep ready'
    podman kill -s USR1 usr1 > /dev/null
    same status 44 "$(podman wait usr1)"
}
check_stop() {
    podman run -d --name stop --network none bb sh -c 'trap "exit 12" TERM; echo ready; while :; do sleep 0.1; done' > /dev/null
    until_true "trap" sh -c 'podman logs stop | grep ready'
    podman stop -t 10 stop > /dev/null
    same status 12 "$(podman inspect --format '{{.State.ExitCode}}' stop)"
}
check_stop_that_must_kill() {
    sleeper stubborn
    podman stop -t 1 stubborn > /dev/null 2>&1
    same status 137 "$(podman inspect --format '{{.State.ExitCode}}' stubborn)"
}
check_restart() {
    sleeper restart
    before=$(podman inspect --format '{{.State.Pid}}' restart)
    podman restart -t 0 restart > /dev/null
    same state running "$(state restart)"
    [ "$before" != "$(podman inspect --format '{{.State.Pid}}' restart)" ] || die "the same process"
    podman exec restart true
}
check_create_start() {
    podman create --name created --network none bb sleep 1000 > /dev/null
    same state created "$(state created)"
    podman init created > /dev/null
    same state initialized "$(state created)"
    podman start created > /dev/null
    same state running "$(state created)"
}
check_start_attach() {
    podman create --name startattach --network none bb sh -c 'echo attached; exit 3' > /dev/null
    code "status" 3 podman start -a startattach
    same output attached "$out"
}
check_remove_of_initialized() {
    podman create --name init --network none bb sleep 1000 > /dev/null
    podman init init > /dev/null
    podman rm -f -t 0 init > /dev/null
    code "gone" 1 podman container exists init
}
check_attach() {
    podman run -d --name attach --network none bb sh -c 'sleep 3; echo later; exit 6' > /dev/null
    has "output" later "$(timeout 30 podman attach --no-stdin attach)"
    same status 6 "$(podman inspect --format '{{.State.ExitCode}}' attach)"
}
check_pause() {
    sleeper pause
    podman pause pause > /dev/null
    same state paused "$(state pause)"
    podman unpause pause > /dev/null
    same state running "$(state pause)"
    podman exec pause true
}
check_pause_stops_time() {
    podman run -d --name frozen --network none bb sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n; sleep 0.05; done' > /dev/null
    until_true "counting" podman exec frozen test -f /tmp/n
    podman pause frozen > /dev/null
    before=$(cat "/proc/$(podman inspect --format '{{.State.Pid}}' frozen)/root/tmp/n")
    sleep 0.5
    same "the count" "$before" "$(cat "/proc/$(podman inspect --format '{{.State.Pid}}' frozen)/root/tmp/n")"
    podman rm -f -t 0 frozen > /dev/null
}
check_stats() {
    sleeper stats --memory 64m
    out=$(podman stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' stats)
    has "stats" "stats 1 " "$out"
    has "limit" "67.11MB" "$out"
}
check_top() {
    sleeper top
    has "top" "sleep 1000" "$(podman top top pid args)"
}
check_inspect() {
    sleeper inspect
    pid=$(podman inspect --format '{{.State.Pid}}' inspect)
    [ -d "/proc/$pid" ] || die "no process $pid"
    same runtime "$RUNTIME" "$(podman inspect --format '{{.OCIRuntime}}' inspect | sed "s#^judge\$#$RUNTIME#")"
    same running true "$(podman inspect --format '{{.State.Running}}' inspect)"
}
check_healthcheck() {
    sleeper health --health-cmd 'test -f /tmp/well' --health-interval disable
    code "unhealthy" 1 podman healthcheck run health
    podman exec health touch /tmp/well
    code "healthy" 0 podman healthcheck run health
    same state healthy "$(podman inspect --format '{{.State.Health.Status}}' health)"
}
check_volume_bind() {
    mkdir -p "$WORK/bind"
    once -v "$WORK/bind:/data" bb sh -c 'echo written > /data/file'
    same content written "$(cat "$WORK/bind/file")"
    code "read-only" 1 once -v "$WORK/bind:/data:ro" bb sh -c 'echo x > /data/file'
}
check_volume_named() {
    podman volume create named > /dev/null
    once -v named:/data bb sh -c 'echo kept > /data/file'
    same content kept "$(once -v named:/data bb cat /data/file)"
}
check_volume_propagation() {
    mkdir -p "$WORK/prop"
    has "shared" "shared:" "$(mount -t tmpfs p "$WORK/prop"; mount --make-shared "$WORK/prop"; once -v "$WORK/prop:/p:rshared" bb grep ' /p ' /proc/self/mountinfo)"
    has "slave" "master:" "$(once -v "$WORK/prop:/p:rslave" bb grep ' /p ' /proc/self/mountinfo)"
}
check_read_only() {
    code "root" 1 once --read-only bb sh -c 'echo x > /file'
    has "message" "Read-only" "$out"
    code "tmp" 0 once --read-only bb sh -c 'echo x > /tmp/file'
}
check_tmpfs() {
    out=$(once --tmpfs /t:size=1m,mode=1777 bb sh -c 'grep " /t " /proc/mounts; stat -c %a /t')
    has "type" "tmpfs /t tmpfs" "$out"
    has "size" "size=1024k" "$out"
    has "mode" 1777 "$out"
}
check_tmpfs_copies_up() { same content "bob" "$(once --tmpfs /etc:rw,tmpcopyup bb sed -n 's/^\(bob\):.*/\1/p' /etc/passwd)"; }
check_cap_add_drop() {
    code "no chown" 1 once --cap-drop chown bb chown bob /tmp
    code "chown" 0 once bb chown bob /tmp
    code "no mount" 1 once bb mount -t tmpfs x /mnt
    same "net_admin" 0000000000001000 "$(once --cap-drop all --cap-add net_admin bb sed -n 's/^CapEff:.//p' /proc/self/status)"
}
check_user() {
    same user "1000:1000" "$(once --user bob bb sh -c 'echo $(id -u):$(id -g)')"
    same numbers "12:34" "$(once --user 12:34 bb sh -c 'echo $(id -u):$(id -g)')"
    has "groups" 777 "$(once --user bob --group-add 777 bb id -G)"
}
check_userns_map() {
    out=$(once --uidmap 0:200000:1000 --gidmap 0:200000:1000 bb cat /proc/self/uid_map)
    same map "0 200000 1000" "$(echo $out)"
}
check_userns_map_file_owner() { same owner 0 "$(once --uidmap 0:200000:65536 --gidmap 0:200000:65536 bb stat -c %u /etc/passwd)"; }
check_userns_auto() {
    getent passwd containers > /dev/null || grep -q '^containers:' /etc/subuid || skip "no subordinate ids for the user containers"
    lacks map " 0 4294967295" "$(once --userns auto bb cat /proc/self/uid_map)"
}
check_privileged() {
    same "no filter" 0 "$(once --privileged bb sed -n 's/^Seccomp:.//p' /proc/self/status)"
    code "mounts" 0 once --privileged bb mount -t tmpfs x /mnt
    has "devices" "kmsg" "$(once --privileged bb ls /dev)"
}
check_seccomp_default() {
    same "filter" 2 "$(once bb sed -n 's/^Seccomp:.//p' /proc/self/status)"
    same "none" 0 "$(once --security-opt seccomp=unconfined bb sed -n 's/^Seccomp:.//p' /proc/self/status)"
}
check_no_new_privileges() { same nnp 1 "$(once --security-opt no-new-privileges bb sed -n 's/^NoNewPrivs:.//p' /proc/self/status)"; }
check_device() {
    has "device" "1,  11" "$(once --device /dev/kmsg:/dev/mine bb ls -l /dev/mine)"
    code "writable" 0 once --device /dev/kmsg:/dev/mine:w bb sh -c ': > /dev/mine'
    code "not writable" 1 once --device /dev/kmsg:/dev/mine:r bb sh -c ': > /dev/mine'
}
check_ulimit() { same ulimit 512 "$(once --ulimit nofile=512:600 --ulimit nproc=1024:2048 bb sh -c 'ulimit -n')"; }
check_sysctl() { same sysctl 12345 "$(once --sysctl net.ipv4.ip_default_ttl=64 --sysctl kernel.msgmax=12345 bb cat /proc/sys/kernel/msgmax)"; }
check_shm_size() { has "size" "size=2048k" "$(once --shm-size 2m bb grep ' /dev/shm ' /proc/mounts)"; }
check_masked_paths() {
    same "timer_list" 0 "$(once bb sh -c 'cat /proc/timer_list | wc -c')"
    code "sysrq" 1 once bb sh -c 'echo h > /proc/sysrq-trigger'
    same "unmasked" 1 "$(once --security-opt unmask=ALL bb sh -c 'grep -q /proc/sys /proc/mounts || echo 1')"
}
check_memory() {
    sleeper memory --memory 32m
    same limit 33554432 "$(limit memory memory memory.limit_in_bytes memory.max)"
}
check_memory_oom_137() {
    podman run --name oom --network none --memory 16m bb sh -c 'a=x; while :; do a=$a$a; done' && status=0 || status=$?
    same status 137 "$status"
}
check_cpus() {
    sleeper cpus --cpus 0.5
    has quota 50000 "$(limit cpus cpu cpu.cfs_quota_us cpu.max)"
}
check_pids_limit() {
    sleeper pids --pids-limit 20
    same limit 20 "$(limit pids pids pids.max pids.max)"
    has "cannot fork" "fork" "$(podman exec pids sh -c 'for i in $(seq 30); do sleep 5 & done' 2>&1)"
}
check_cpuset_blkio() {
    sleeper cpuset --cpuset-cpus 0
    same cpus 0 "$(limit cpuset cpuset cpuset.cpus cpuset.cpus)"
}
check_update() {
    podman update --help > /dev/null 2>&1 || skip "this Podman has no update"
    podman update --help 2>&1 | grep -q 'podman update' || skip "this Podman has no update"
    sleeper update --memory 32m
    podman update --memory 64m update > /dev/null
    same limit 67108864 "$(limit update memory memory.limit_in_bytes memory.max)"
}
check_init() {
    out=$(once --init bb sh -c 'cat /proc/1/comm; echo $$')
    lacks "PID 1" "^sh" "$(echo "$out" | head -n 1)"
    [ "$(echo "$out" | tail -n 1)" != 1 ] || die "the program is PID 1"
}
check_copy() {
    sleeper copy
    echo inside > "$WORK/to-copy"
    podman cp "$WORK/to-copy" copy:/tmp/copied
    same "in" inside "$(podman exec copy cat /tmp/copied)"
    podman cp copy:/etc/passwd "$WORK/passwd"
    has "out" bob "$(cat "$WORK/passwd")"
}
check_diff_commit() {
    podman run --name commit --network none bb sh -c 'echo new > /new'
    has diff "A /new" "$(podman diff commit)"
    podman commit -q commit committed > /dev/null
    same content new "$(once committed cat /new)"
}
check_build() {
    mkdir -p "$WORK/build"
    printf 'FROM bb\nRUN echo built > /built\nCMD cat /built\n' > "$WORK/build/Containerfile"
    podman build -q --runtime "$RUNTIME" --isolation oci --network none -t built "$WORK/build" > /dev/null
    same output built "$(once built)"
}
check_remove_force() {
    sleeper remove
    pid=$(podman inspect --format '{{.State.Pid}}' remove)
    podman rm -f -t 0 remove > /dev/null
    [ ! -d "/proc/$pid" ] || die "it still runs"
}
check_remove_leaves_nothing() {
    sleeper nothing --memory 32m
    dir=$(group nothing memory)
    podman rm -f -t 0 nothing > /dev/null
    [ ! -d "$dir" ] || die "the control group is still there"
}
check_pid_host_ipc_host() {
    same ipc "$(readlink /proc/self/ns/ipc)" "$(once --ipc host bb readlink /proc/self/ns/ipc)"
    has pid "bash" "$(once --pid host bb ps)"
}
check_container_namespaces() {
    sleeper shared
    same pid "$(podman exec shared readlink /proc/self/ns/pid)" "$(once --pid container:shared bb readlink /proc/self/ns/pid)"
    same net "$(podman exec shared readlink /proc/self/ns/net)" "$(podman run --rm --network container:shared bb readlink /proc/self/ns/net)"
}
check_network_host() { same net "$(readlink /proc/self/ns/net)" "$(podman run --rm --network host bb readlink /proc/self/ns/net)"; }
check_network_none() { same interfaces lo "$(once bb ls /sys/class/net)"; }
# busybox's wget, linked statically against glibc, looks names up and dies of it; its nc does not.
page_of() { podman run --rm bb sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | timeout 3 nc $1 80"; }
check_network_bridge() {
    podman run -d --name web bb sh -c 'mkdir /www; echo served > /www/index.html; httpd -f -p 80 -h /www' > "$WORK/bridge.log" 2>&1 || skip "no bridge network here: $(tail -n 1 "$WORK/bridge.log")"
    address=$(podman inspect --format '{{.NetworkSettings.IPAddress}}' web)
    until_true "the server" timeout 1 bash -c "echo > /dev/tcp/$address/80"
    has page served "$(page_of "$address")"
    has "hosts" web "$(podman exec web cat /etc/hosts)"
}
check_network_publish() {
    podman run -d --name published -p 8080:80 bb sh -c 'mkdir /www; echo served > /www/index.html; httpd -f -p 80 -h /www' > "$WORK/publish.log" 2>&1 || skip "no bridge network here: $(tail -n 1 "$WORK/publish.log")"
    page() { timeout 3 bash -c 'exec 3<> /dev/tcp/127.0.0.1/8080; printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3'; }
    until_true "the server" page
    has page served "$(page)"
}
check_pod() {
    podman pod create --name pod --network none > /dev/null
    podman run -d --pod pod --name inpod bb sleep 1000 > /dev/null
    infra=$(podman pod inspect --format '{{.InfraContainerID}}' pod)
    same net "$(podman exec inpod readlink /proc/self/ns/net)" "$(podman run --rm --pod pod bb readlink /proc/self/ns/net)"
    is "$infra" running || die "infra: $(state "$infra")"
    podman pod stop -t 0 pod > /dev/null
    is inpod exited || die "inpod: $(state inpod)"
    podman pod start pod > /dev/null
    is inpod running || die "inpod: $(state inpod)"
    podman pod rm -f -t 0 pod > /dev/null
    code "gone" 1 podman container exists inpod
}
check_pod_pause() {
    podman pod create --name podpause --network none > /dev/null
    podman run -d --pod podpause --name inpaused bb sleep 1000 > /dev/null
    podman pod pause podpause > /dev/null
    same state paused "$(state inpaused)"
    podman pod unpause podpause > /dev/null
    same state running "$(state inpaused)"
    podman pod rm -f -t 0 podpause > /dev/null
}
check_pod_shared_pid() {
    podman pod create --name podpid --network none --share pid,ipc,uts > /dev/null
    podman run -d --pod podpid --name podpid1 bb sleep 1000 > /dev/null
    has "the other's process" "sleep 1000" "$(podman run --rm --pod podpid bb ps)"
    podman pod rm -f -t 0 podpid > /dev/null
}
check_kube_play() {
    printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube\nspec:\n  hostNetwork: true\n  containers:\n  - name: one\n    image: localhost/bb:latest\n    imagePullPolicy: Never\n    command: [sleep, "1000"]\n    resources: {limits: {memory: 64Mi}}\n' > "$WORK/kube.yaml"
    podman play kube "$WORK/kube.yaml" > /dev/null 2> "$WORK/kube.log" || {
        cat "$WORK/kube.log"
        ! grep -q 'rlimit\|RLIMIT' "$WORK/kube.log" || skip "it raises limits, which takes CAP_SYS_RESOURCE"
        exit 1
    }
    same state running "$(state kube-one)"
    same limit 67108864 "$(limit kube-one memory memory.limit_in_bytes memory.max)"
    has "generate" "kind: Pod" "$(podman generate kube kube)"
    podman play kube --down "$WORK/kube.yaml" > /dev/null
}
check_secret() {
    printf hidden | podman secret create word - > /dev/null
    same secret hidden "$(once --secret word bb cat /run/secrets/word)"
}
check_hooks_dir() {
    mkdir -p "$WORK/hooks"
    printf '{"version":"1.0.0","hook":{"path":"/bin/sh","args":["sh","-c","cat > %s/hook.state"]},"when":{"always":true},"stages":["createRuntime"]}' "$WORK" > "$WORK/hooks/one.json"
    podman --hooks-dir "$WORK/hooks" run --rm --network none bb true
    has "state" ociVersion "$(cat "$WORK/hook.state")"
}
check_restart_policy() {
    podman run -d --name policy --network none --restart on-failure:2 bb sh -c 'exit 1' > /dev/null
    until_true "two restarts" sh -c '[ "$(podman inspect --format "{{.RestartCount}}" policy)" = 2 ]'
}
check_many_at_once() {
    for i in 1 2 3 4 5 6 7 8; do once bb echo "number $i" > "$WORK/many.$i" & done
    wait
    same outputs 8 "$(cat "$WORK"/many.* | sort -u | wc -l)"
}

# An ordinary user, with a store and a runtime directory of its own.
rootless() {
    id ctr-test > /dev/null 2>&1 || skip "no user ctr-test"
    grep -q '^ctr-test:' /etc/subuid || skip "no subordinate ids for the user ctr-test"
    local dir=$WORK/rootless
    if [ ! -d "$dir" ]; then
        mkdir -p "$dir"/{home,xdg} && cp "$RUNTIME" "$dir/$(basename "$RUNTIME")"
        configure "$dir/podman" "$dir/$(basename "$RUNTIME")"
        cp "$WORK/bb.tar" "$dir/"
        chown -R ctr-test: "$dir"
        chmod 711 "$WORK"
    fi
    cat > "$dir/run.sh" <<END
export HOME=$dir/home XDG_RUNTIME_DIR=$dir/xdg TMPDIR=/tmp CONTAINERS_CONF=$dir/podman/containers.conf CONTAINERS_STORAGE_CONF=$dir/podman/storage.conf CONTAINERS_REGISTRIES_CONF=$dir/podman/registries.conf
cd $dir; podman image exists bb || podman import -q bb.tar bb > /dev/null
END
    printf '%s\n' "$1" >> "$dir/run.sh"
    chmod 755 "$dir/run.sh"
    setpriv --reuid ctr-test --regid ctr-test --init-groups env -i PATH="$PATH" bash -e "$dir/run.sh"
}
check_rootless_run() { same output "hello 0" "$(rootless 'podman run --rm --network none bb sh -c "echo hello \$(id -u)"')"; }
check_rootless_status() { code "status" 7 rootless 'podman run --rm --network none bb sh -c "exit 7"'; }
check_rootless_detached_exec() {
    same output "in x" "$(rootless 'podman run -d --name d --network none bb sleep 1000 > /dev/null; podman exec d echo in x; podman rm -f -t 0 d > /dev/null')"
}
check_rootless_keep_id() { same user "$(id -u ctr-test)" "$(rootless 'podman run --rm --network none --userns keep-id bb id -u')"; }
check_rootless_volume() { same content written "$(rootless 'mkdir -p vol; podman run --rm --network none -v ./vol:/data bb sh -c "echo written > /data/f"; cat vol/f')"; }
check_rootless_read_only_tmpfs() { code "read-only" 1 rootless 'podman run --rm --network none --read-only bb sh -c "echo x > /file"'; }
check_rootless_host_network() { has "interfaces" lo "$(rootless 'podman run --rm --network host bb ls /sys/class/net')"; }
check_rootless_slirp() {
    [ "$(stat -c %a /dev/net/tun)" = 666 ] || skip "/dev/net/tun is not for ordinary users here"
    has "interface" tap0 "$(rootless 'podman run --rm --network slirp4netns bb ls /sys/class/net')"
}
check_rootless_pod() { same state running "$(rootless 'podman pod create --name p --network none > /dev/null; podman run -d --pod p --name inp bb sleep 1000 > /dev/null; podman inspect --format "{{.State.Status}}" inp; podman pod rm -f -t 0 p > /dev/null')"; }
