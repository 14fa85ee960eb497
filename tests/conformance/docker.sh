#!/bin/bash
# title: Docker
# about: Debian's dockerd 20.10 with our program as `default-runtime`, on a host made of namespaces. The image is a busybox tree brought by `docker load`.
# packages: busybox-static iptables jq bsdutils runc
# limit: 60

# shellcheck source=engines/hosts.sh
. "$here/engines/hosts.sh"
# shellcheck source=engines/docker.sh
. "$here/engines/docker.sh"

GROUP=ctr-judge-docker
export DOCKER_HOST=unix://$WORK/h1/socket DOCKER_BUILDKIT=0

fetch() { docker_programs; }

setup() {
    fetch
    sweep "$GROUP"
    busybox_tree "$WORK/tree"
    image "$BB" "$WORK/tree" "$WORK/bb.tar" '{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]}'
    (dockerd_on h1 10.77.0.1 "$GROUP") || { tail -n 20 "$WORK/h1/log"; skip_all "dockerd does not start here"; }
}

teardown() {
    docker ps -aq | xargs -r docker rm -f > /dev/null 2>&1
    ended h1
    sweep "$GROUP"
    unmount
}

# sleeper NAME [OPTION...]
sleeper() {
    local name=$1
    shift
    docker run -d --name "$name" --network none "$@" "$BB" sleep 1000 > /dev/null
}
once() { docker run --rm --network none "$@"; }
of() { docker inspect --format "{{$2}}" "$1"; }
state() { of "$1" .State.Status; }
is() { [ "$(state "$1")" = "$2" ]; }
in_log() { docker logs "$1" 2>&1 | grep -q "$2"; }

check_info() { same runtime ctr "$(docker info --format '{{.DefaultRuntime}}')"; }
check_run() { same output "hello 1" "$(once $BB sh -c 'echo hello $$')"; }
check_run_status() {
    code "status 0" 0 once $BB true
    code "status 1" 1 once $BB false
    code "status 7" 7 once $BB sh -c 'exit 7'
}
check_run_signal_143() { code "killed" 143 once --init $BB sh -c 'kill -TERM $$; sleep 5'; }
check_run_not_found_127() {
    code "no program" 127 once $BB no-such-program
    has "message" "executable file not found in \$PATH" "$out"
}
check_run_path_not_found_127() {
    code "no program" 127 once $BB /no/such/program
    has "message" "no such file or directory" "$out"
}
check_run_not_executable_126() {
    code "no program" 126 once $BB /etc/passwd
    has "message" "permission denied" "$out"
}
check_run_bad_option_125() { code "option" 125 once --no-such-option $BB true; }
check_run_bad_device_125() { code "device" 125 once --memory 1k $BB true; }
check_run_stdin() { same output "from stdin" "$(echo 'from stdin' | once -i $BB cat)"; }
check_run_streams() {
    same stdout out "$(once $BB sh -c 'echo out; echo err >&2' 2> /dev/null)"
    same stderr err "$(once $BB sh -c 'echo out; echo err >&2' 2>&1 > /dev/null)"
}
check_run_tty() {
    out=$(script -qec "docker run -it --rm --network none $BB sh -c 'tty; stty size'" /dev/null < /dev/null | tr -d '\r')
    has "a terminal" /dev/ "$out"
}
check_run_workdir_env() { same output "/tmp value" "$(once -w /tmp -e NAME=value $BB sh -c 'echo $PWD $NAME')"; }
check_run_hostname() { same output name "$(once --hostname name $BB hostname)"; }
check_run_detached() {
    sleeper detached
    same state running "$(state detached)"
    has ps detached "$(docker ps --format '{{.Names}}')"
    docker rm -f detached
    code "gone" 1 docker inspect detached
}
check_logs() {
    docker run -d --name logs --network none $BB sh -c 'echo one; echo two >&2; echo three' > /dev/null
    docker wait logs > /dev/null
    same logs "one three two" "$(docker logs logs 2>&1 | sort | paste -sd ' ')"
}
check_logs_follow() {
    docker run -d --name follow --network none $BB sh -c 'for i in 1 2 3; do echo $i; sleep 1; done' > /dev/null
    same lines "1 2 3" "$(timeout 30 docker logs -f follow | paste -sd ' ')"
}
check_wait() {
    docker run -d --name waiting --network none $BB sh -c 'sleep 1; exit 9' > /dev/null
    same status 9 "$(docker wait waiting)"
    same state "exited 9" "$(state waiting) $(of waiting .State.ExitCode)"
}
check_exec() {
    sleeper exec
    same output "in 0" "$(docker exec exec sh -c 'echo in $(id -u)')"
    code "status" 5 docker exec exec sh -c 'exit 5'
    same user 1000 "$(docker exec -u bob exec id -u)"
    same dir "/tmp x" "$(docker exec -w /tmp -e A=x exec sh -c 'echo $PWD $A')"
    same stdin piped "$(echo piped | docker exec -i exec cat)"
}
# This Docker says 126 for both.
check_exec_not_found_126() {
    sleeper exec126none
    code "no program" 126 docker exec exec126none no-such-program
    has "message" "executable file not found in \$PATH" "$out"
}
check_exec_not_executable_126() { sleeper exec126; code "no program" 126 docker exec exec126 /etc/passwd; }
check_exec_tty() {
    sleeper exectty
    set -o pipefail
    out=$(script -qec "docker exec -it exectty sh -c 'tty; exit 4'" /dev/null < /dev/null | tr -d '\r') && found=0 || found=$?
    has "a terminal" /dev/ "$out"
    same status 4 "$found"
}
check_exec_tty_typing() {
    sleeper typing
    out=$({ sleep 2; printf 'echo $((40+2))\n'; sleep 1; printf 'exit\n'; sleep 1; } | timeout 30 script -qec "docker exec -it typing sh" /dev/null | tr -d '\r')
    has "what was typed" 42 "$out"
}
check_exec_detached() {
    sleeper execd
    docker exec -d execd sh -c 'echo done > /tmp/flag; sleep 100'
    until_true "the flag" docker exec execd test -f /tmp/flag
}
check_exec_privileged() {
    sleeper execcaps --cap-drop all
    same caps 0000000000000000 "$(docker exec execcaps sed -n 's/^CapEff:.//p' /proc/self/status)"
    lacks "privileged" 0000000000000000 "$(docker exec --privileged execcaps sed -n 's/^CapEff:.//p' /proc/self/status)"
}
check_exec_of_paused() {
    sleeper execpaused
    docker pause execpaused > /dev/null
    code "refused" 1 docker exec execpaused true
    docker unpause execpaused > /dev/null
}
check_kill_137() {
    sleeper kill
    docker kill kill > /dev/null
    same status 137 "$(docker wait kill)"
}
check_kill_named_signal() {
    docker run -d --name usr1 --network none $BB sh -c 'trap "exit 44" USR1; echo ready; while :; do sleep 0.1; done' > /dev/null
    until_true "trap" in_log usr1 ready
    docker kill -s USR1 usr1 > /dev/null
    same status 44 "$(docker wait usr1)"
}
check_stop() {
    docker run -d --name stop --network none $BB sh -c 'trap "exit 12" TERM; echo ready; while :; do sleep 0.1; done' > /dev/null
    until_true "trap" in_log stop ready
    docker stop -t 20 stop > /dev/null
    same status 12 "$(of stop .State.ExitCode)"
}
check_stop_that_must_kill() {
    sleeper stubborn
    docker stop -t 1 stubborn > /dev/null
    same status 137 "$(of stubborn .State.ExitCode)"
}
check_restart() {
    sleeper restart
    before=$(of restart .State.Pid)
    docker restart -t 0 restart > /dev/null
    same state running "$(state restart)"
    [ "$before" != "$(of restart .State.Pid)" ] || die "the same process"
    docker exec restart true
}
check_create_start_attach() {
    docker create --name created --network none $BB sh -c 'echo attached; exit 3' > /dev/null
    same state created "$(state created)"
    code "status" 3 docker start -a created
    same output attached "$out"
}
check_pause() {
    docker run -d --name frozen --network none $BB sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n; sleep 0.05; done' > /dev/null
    file=/proc/$(of frozen .State.Pid)/root/tmp/n
    until_true "counting" test -f "$file"
    docker pause frozen > /dev/null
    same state paused "$(state frozen)"
    before=$(cat "$file")
    sleep 0.5
    same "the count" "$before" "$(cat "$file")"
    docker unpause frozen > /dev/null
    same state running "$(state frozen)"
}
check_stop_of_paused() {
    sleeper stoppaused
    docker pause stoppaused > /dev/null
    docker stop -t 1 stoppaused > /dev/null
    same state exited "$(state stoppaused)"
}
check_top() { sleeper top; has "top" "sleep 1000" "$(docker top top)"; }
check_stats() {
    sleeper stats --memory 64m
    out=$(docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' stats)
    has "stats" "stats 1 " "$out"
    has "limit" "64MiB" "$out"
}
check_update() {
    sleeper update --memory 32m
    docker update --memory 64m --memory-swap 128m --cpus 0.5 --pids-limit 50 update > /dev/null
    process=$(of update .State.Pid)
    same memory 67108864 "$(limit "$process" memory memory.limit_in_bytes memory.max)"
    has quota 50000 "$(limit "$process" cpu cpu.cfs_quota_us cpu.max)"
    same pids 50 "$(limit "$process" pids pids.max pids.max)"
}
check_memory_cpus_pids() {
    sleeper limits --memory 32m --cpus 0.25 --pids-limit 20 --cpuset-cpus 0 --cpu-shares 512
    process=$(of limits .State.Pid)
    same memory 33554432 "$(limit "$process" memory memory.limit_in_bytes memory.max)"
    has quota 25000 "$(limit "$process" cpu cpu.cfs_quota_us cpu.max)"
    same pids 20 "$(limit "$process" pids pids.max pids.max)"
    same cpuset 0 "$(limit "$process" cpuset cpuset.cpus cpuset.cpus)"
    has "cannot fork" fork "$(docker exec limits sh -c 'for i in $(seq 30); do sleep 5 & done' 2>&1)"
}
check_memory_oom() {
    docker run --name oom --network none --memory 16m $BB sh -c 'a=x; while :; do a=$a$a; done' > /dev/null 2>&1 && found=0 || found=$?
    same status 137 "$found"
    same flag true "$(of oom .State.OOMKilled)"
}
check_build() {
    mkdir -p "$WORK/build"
    printf 'FROM %s\nRUN echo built > /built && test $(id -u) = 0\nUSER bob\nRUN test $(id -u) = 1000\nCMD cat /built\n' $BB > "$WORK/build/Dockerfile"
    docker build -q --network none -t built "$WORK/build" > /dev/null
    same output built "$(once built)"
    printf 'FROM %s\nRUN exit 3\n' $BB > "$WORK/build/Dockerfile"
    code "a step that fails" 3 docker build --network none "$WORK/build"
}
check_init() {
    out=$(once --init $BB sh -c 'cat /proc/1/comm; echo $$')
    lacks "the program is PID 1" "
1" "
$(echo "$out" | tail -n 1)x"
    has "init" docker-init "$out"
}
check_privileged() {
    [ $((0x$(sed -n 's/^CapBnd:.//p' /proc/self/status) >> 24 & 1)) = 1 ] || skip "Docker asks for every capability there is, and root lacks CAP_SYS_RESOURCE here"
    same "no filter" 0 "$(once --privileged $BB sed -n 's/^Seccomp:.//p' /proc/self/status)"
    code "mounts" 0 once --privileged $BB mount -t tmpfs x /mnt
    has "devices" kmsg "$(once --privileged $BB ls /dev)"
}
check_user() {
    same user "1000:1000" "$(once --user bob $BB sh -c 'echo $(id -u):$(id -g)')"
    same numbers "12:34" "$(once --user 12:34 $BB sh -c 'echo $(id -u):$(id -g)')"
    has groups 777 "$(once --user bob --group-add 777 $BB id -G)"
}
check_tmpfs() {
    out=$(once --tmpfs /t:size=1m,mode=1777 $BB sh -c 'grep " /t " /proc/mounts; stat -c %a /t')
    has "type" "tmpfs /t tmpfs" "$out"
    has "size" "size=1024k" "$out"
    has "mode" 1777 "$out"
}
check_device() {
    has "device" "1,  11" "$(once --device /dev/kmsg:/dev/mine $BB ls -l /dev/mine)"
    code "writable" 0 once --device /dev/kmsg:/dev/mine:w $BB sh -c ': > /dev/mine'
    code "not writable" 1 once --device /dev/kmsg:/dev/mine:r $BB sh -c ': > /dev/mine'
}
check_capabilities() {
    code "no chown" 1 once --cap-drop chown $BB chown bob /tmp
    code "chown" 0 once $BB chown bob /tmp
    code "no mount" 1 once $BB mount -t tmpfs x /mnt
    code "mount" 0 once --cap-add sys_admin $BB mount -t tmpfs x /mnt
    same "net_admin" 0000000000001000 "$(once --cap-drop all --cap-add net_admin $BB sed -n 's/^CapEff:.//p' /proc/self/status)"
}
check_seccomp() {
    same filter 2 "$(once $BB sed -n 's/^Seccomp:.//p' /proc/self/status)"
    same none 0 "$(once --security-opt seccomp=unconfined $BB sed -n 's/^Seccomp:.//p' /proc/self/status)"
}
check_no_new_privileges() { same nnp 1 "$(once --security-opt no-new-privileges $BB sed -n 's/^NoNewPrivs:.//p' /proc/self/status)"; }
check_ulimit_sysctl() {
    same ulimit 512 "$(once --ulimit nofile=512:600 $BB sh -c 'ulimit -n')"
    same sysctl 12345 "$(once --sysctl kernel.msgmax=12345 $BB cat /proc/sys/kernel/msgmax)"
}
check_shm_size() { has "size" "size=2048k" "$(once --shm-size 2m $BB grep ' /dev/shm ' /proc/mounts)"; }
check_masked_paths() {
    code "sysrq" 1 once $BB sh -c 'echo h > /proc/sysrq-trigger'
    same "timer_list" 0 "$(once $BB sh -c 'cat /proc/timer_list | wc -c')"
}
check_read_only() {
    code "root" 1 once --read-only $BB sh -c 'echo x > /file'
    has "message" "Read-only" "$out"
}
check_volumes() {
    mkdir -p "$WORK/bind"
    once -v "$WORK/bind:/data" $BB sh -c 'echo written > /data/file'
    same content written "$(cat "$WORK/bind/file")"
    code "read-only" 1 once -v "$WORK/bind:/data:ro" $BB sh -c 'echo x > /data/file'
    once -v named:/data $BB sh -c 'echo kept > /data/file'
    same content kept "$(once -v named:/data $BB cat /data/file)"
}
check_copy_diff_commit() {
    sleeper copy
    echo inside > "$WORK/to-copy"
    docker cp "$WORK/to-copy" copy:/tmp/copied
    same "in" inside "$(docker exec copy cat /tmp/copied)"
    has diff "A /tmp/copied" "$(docker diff copy)"
    docker commit copy committed > /dev/null
    same content inside "$(once committed cat /tmp/copied)"
}
check_healthcheck() {
    sleeper health --health-cmd 'test -f /tmp/well' --health-interval 1s --health-retries 2
    until_true "unhealthy" sh -c "docker inspect --format '{{.State.Health.Status}}' health | grep -x unhealthy"
    docker exec health touch /tmp/well
    until_true "healthy" sh -c "docker inspect --format '{{.State.Health.Status}}' health | grep -x healthy"
}
check_restart_policy() {
    docker run -d --name policy --network none --restart on-failure:2 $BB sh -c 'exit 1' > /dev/null
    until_true "two restarts" sh -c "docker inspect --format '{{.RestartCount}} {{.State.Status}}' policy | grep -x '2 exited'"
}
check_restart_always_after_kill() {
    sleeper always --restart always
    before=$(of always .State.Pid)
    kill -9 "$before"
    until_true "a new process" sh -c "docker inspect --format '{{.State.Pid}} {{.State.Status}}' always | grep running | grep -vw $before"
}
check_network_none() { same interfaces lo "$(once $BB ls /sys/class/net)"; }
check_network_host() { same net "$(on h1 readlink /proc/self/ns/net)" "$(docker run --rm --network host $BB readlink /proc/self/ns/net)"; }
check_network_container() {
    sleeper shared
    same net "$(docker exec shared readlink /proc/self/ns/net)" "$(docker run --rm --network container:shared $BB readlink /proc/self/ns/net)"
    same pid "$(docker exec shared readlink /proc/self/ns/pid)" "$(once --pid container:shared $BB readlink /proc/self/ns/pid)"
    sleeper shareable --ipc shareable
    same ipc "$(docker exec shareable readlink /proc/self/ns/ipc)" "$(once --ipc container:shareable $BB readlink /proc/self/ns/ipc)"
}
check_namespaces_of_host() {
    same pid "$(readlink /proc/self/ns/pid)" "$(once --pid host $BB readlink /proc/self/ns/pid)"
    same ipc "$(on h1 readlink /proc/self/ns/ipc)" "$(once --ipc host $BB readlink /proc/self/ns/ipc)"
    same uts h1 "$(docker run --rm --network host --uts host $BB hostname)"
}
check_network_bridge_publish() {
    docker run -d --name web -p 8080:80 $BB sh -c "$WEB" > /dev/null
    address=$(of web .NetworkSettings.IPAddress)
    export -f page
    until_true "the server" on h1 bash -c "page $address/80"
    has page served "$(on h1 bash -c "page $address/80")"
    has published served "$(on h1 bash -c "page 127.0.0.1/8080")"
    has "another container" served "$(docker run --rm $BB sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | timeout 3 nc $address 80")"
}
check_network_names() {
    docker network create judged > /dev/null
    docker run -d --name named --network judged $BB sleep 1000 > /dev/null
    has address "$(of named .NetworkSettings.Networks.judged.IPAddress)" "$(docker run --rm --network judged $BB nslookup named 127.0.0.11 2>&1 || :)"
}
check_remove_leaves_nothing() {
    sleeper nothing --memory 32m
    process=$(of nothing .State.Pid)
    dir=$(group "$process" memory)
    docker rm -f nothing > /dev/null
    [ ! -d "/proc/$process" ] || die "it still runs"
    [ ! -d "$dir" ] || die "the control group is still there"
}
check_many_at_once() {
    for i in 1 2 3 4 5 6 7 8; do once $BB echo "number $i" > "$WORK/many.$i" & done
    wait
    same outputs 8 "$(cat "$WORK"/many.* | sort -u | wc -l)"
}
