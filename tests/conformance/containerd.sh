#!/bin/bash
# title: containerd
# about: Debian's containerd in a network of its own, with `ctr run --runc-binary`, and as a Kubernetes node: its CRI plugin, whose default runtime has
# about: our program as `BinaryName`, called with a few lines of Python. Pods have a bridge by CNI; the images are busybox trees.
# packages: busybox-static containernetworking-plugins iptables jq bsdutils runc
# limit: 60

# shellcheck source=engines/hosts.sh
. "$here/engines/hosts.sh"

GROUP=ctr-judge-containerd
export CONTAINERD_ADDRESS=/run/containerd/containerd.sock CONTAINERD_NAMESPACE=$GROUP
BB=localhost/bb:1

configure() {
    mkdir -p "$WORK/cni/net.d"
    cat > "$WORK/config.toml" <<END
version = 2
root = "$WORK/lib"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$WORK/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "judged"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.judged]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.judged.options]
        BinaryName = "$RUNTIME"
END
    cat > "$WORK/cni/net.d/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true,
   "ipam": {"type": "host-local", "dataDir": "$WORK/cni/data", "ranges": [[{"subnet": "10.88.7.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": false}]}
END
}

fetch() { unpack containerd python3-grpcio python3-protobuf protobuf-compiler libprotoc32 libprotobuf32 libc-ares2 libre2-9 libabsl20220623; }

setup() {
    fetch
    export PYTHONPATH=$ROOT/usr/lib/python3/dist-packages:$WORK/py
    mkdir -p "$WORK/py" "$WORK/logs"
    protoc -I "$here/engines" --python_out "$WORK/py" cri.proto || skip_all "protoc failed"
    sweep "$GROUP"
    mkdir -p /var/lib/cni && mount -t tmpfs cni /var/lib/cni
    net node
    configure
    on_net node containerd --config "$WORK/config.toml" > "$WORK/containerd.log" 2>&1 &
    until_true "containerd" ctr version
    busybox_tree "$WORK/tree"
    image "$BB" "$WORK/tree" "$WORK/bb.tar" '{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]}'
    image localhost/pause:1 "$WORK/tree" "$WORK/pause.tar" '{"Entrypoint":["/bin/sleep","1000000"]}'
    for ns in "$GROUP" k8s.io; do ctr -n $ns images import "$WORK/bb.tar" && ctr -n $ns images import "$WORK/pause.tar"; done > /dev/null || skip_all "the import failed"
}

teardown() {
    sweep "$GROUP"
    unmount
}

# ctr_run [OPTION...] IMAGE ID COMMAND
ctr_run() { ctr run --runc-binary "$RUNTIME" "$@"; }
sleeper() {
    local name=$1
    shift
    ctr_run -d --null-io "$@" "$BB" "$name" sleep 1000
}
status() { ctr task ls | awk -v id="$1" '$1 == id { print $3 }'; }
is() { [ "$(status "$1")" = "$2" ]; }
# task_rm STATUS [OPTION] ID: it tells the status of the task.
task_rm() {
    local status=$1
    shift
    has "status" "non-zero exit code $status" "$(ctr task rm "$@" 2>&1)"
}
pid() { ctr task ls | awk -v id="$1" '$1 == id { print $2 }'; }

check_ctr_run() { same output "hello 1" "$(ctr_run --rm "$BB" run sh -c 'echo hello $$')"; }
check_ctr_run_status() { code "status" 7 ctr_run --rm "$BB" status sh -c 'exit 7'; }
check_ctr_run_not_found() {
    code "no program" 1 ctr_run --rm "$BB" notfound /no/such/program
    has "message" "no such file or directory" "$out"
    same "task" "" "$(status notfound)"
}
check_ctr_run_tty() {
    out=$(script -qec "ctr run --runc-binary '$RUNTIME' --rm -t $BB tty sh -c 'tty; stty size'" /dev/null < /dev/null | tr -d '\r')
    has "a terminal" /dev/ "$out"
}
# One line, not all: ctr closes the container's input only where it has a terminal.
check_ctr_run_stdin() { same output typed "$(echo typed | ctr_run --rm "$BB" stdin head -n 1)"; }
check_ctr_cwd_env() { same output "/tmp x" "$(ctr_run --rm --cwd /tmp --env A=x "$BB" cwd sh -c 'echo $PWD $A')"; }
check_ctr_detached() {
    sleeper detached
    same status RUNNING "$(status detached)"
    same process sleep "$(cat "/proc/$(pid detached)/comm")"
    ctr task kill -s KILL detached
    until_true "stopped" is detached STOPPED
    task_rm 137 detached
    ctr container rm detached
    [ ! -d "/sys/fs/cgroup/memory/$GROUP/detached" ] || die "the control group is still there"
}
check_ctr_task_rm_force() {
    sleeper force
    task_rm 137 -f force
    ctr container rm force
}
check_ctr_create_start() {
    ctr container create --runc-binary "$RUNTIME" "$BB" created sleep 1000 2> /dev/null || ctr container create "$BB" created sleep 1000
    ctr task start -d --null-io created
    same status RUNNING "$(status created)"
}
check_ctr_exec() {
    sleeper exec
    same output "in 0" "$(ctr task exec --exec-id e1 exec sh -c 'echo in $(id -u)')"
    code "status" 5 ctr task exec --exec-id e2 exec sh -c 'exit 5'
    same user 1000 "$(ctr task exec --user 1000 --exec-id e3 exec id -u)"
    same dir /tmp "$(ctr task exec --cwd /tmp --exec-id e4 exec pwd)"
}
check_ctr_exec_not_found() {
    sleeper execnone
    code "no program" 1 ctr task exec --exec-id e1 execnone no-such-program
    has "message" "executable file not found in \$PATH" "$out"
}
check_ctr_exec_tty() {
    sleeper exectty
    set -o pipefail
    out=$(script -qec "ctr task exec -t --exec-id e1 exectty sh -c 'tty; exit 4'" /dev/null < /dev/null | tr -d '\r') && found=0 || found=$?
    has "a terminal" /dev/ "$out"
    same status 4 "$found"
}
check_ctr_exec_detached_kill() {
    sleeper execkill
    ctr task exec -d --exec-id e1 execkill sleep 500
    until_true "it runs" sh -c 'ctr task ps execkill | grep e1'
    ctr task kill -s KILL --exec-id e1 execkill
    until_true "it ended" sh -c '! ctr task ps execkill | grep e1'
}
check_ctr_kill_signal() {
    ctr_run -d --null-io "$BB" usr1 sh -c 'trap "exit 44" USR1; echo > /tmp/ready; while :; do sleep 0.1; done'
    until_true "trap" test -f "/proc/$(pid usr1)/root/tmp/ready"
    ctr task kill -s USR1 usr1
    until_true "stopped" is usr1 STOPPED
    task_rm 44 usr1
}
check_ctr_kill_all() {
    sleeper killall
    ctr task exec -d --exec-id e1 killall sleep 500
    ctr task kill -a -s KILL killall
    until_true "stopped" is killall STOPPED
}
check_ctr_pause_resume() {
    ctr_run -d --null-io "$BB" pause sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n; sleep 0.05; done'
    file=/proc/$(pid pause)/root/tmp/n
    until_true "counting" test -f "$file"
    ctr task pause pause
    same status PAUSED "$(status pause)"
    before=$(cat "$file")
    sleep 0.5
    same "the count" "$before" "$(cat "$file")"
    ctr task resume pause
    same status RUNNING "$(status pause)"
    until_true "counts again" sh -c "[ \"\$(cat $file)\" != '$before' ]"
}
check_ctr_metrics() {
    sleeper metrics --memory-limit 33554432
    out=$(ctr task metrics --format json metrics)
    has "memory" 33554432 "$out"
    has "pids" '"pids"' "$out"
}
check_ctr_ps() {
    sleeper ps
    ctr task exec -d --exec-id other ps sleep 500
    out=$(ctr task ps ps)
    has "the program" "$(pid ps)" "$out"
    has "the other" other "$out"
}
check_ctr_limits() {
    sleeper limits --memory-limit 33554432 --cpu-shares 512 --cpu-quota 20000 --cpu-period 100000
    same memory 33554432 "$(limit "$(pid limits)" memory memory.limit_in_bytes memory.max)"
    has quota 20000 "$(limit "$(pid limits)" cpu cpu.cfs_quota_us cpu.max)"
}
check_ctr_oom() { code "killed" 137 ctr_run --rm --memory-limit 8388608 "$BB" oom sh -c 'a=x; while :; do a=$a$a; done'; }
check_ctr_capabilities() {
    same added 00000000a82435fb "$(ctr_run --rm --cap-add CAP_NET_ADMIN --cap-add CAP_SYS_ADMIN --cap-drop CAP_SYS_ADMIN "$BB" caps1 sed -n 's/^CapEff:.//p' /proc/self/status | sed 's/a8[0-9a-f]*35fb/a82435fb/')"
    lacks "chown" 00000000a80425fb "$(ctr_run --rm --cap-drop CAP_CHOWN "$BB" caps2 sed -n 's/^CapEff:.//p' /proc/self/status)"
}
check_ctr_seccomp() {
    same filter 2 "$(ctr_run --rm --seccomp "$BB" seccomp1 sed -n 's/^Seccomp:.//p' /proc/self/status)"
    same none 0 "$(ctr_run --rm "$BB" seccomp2 sed -n 's/^Seccomp:.//p' /proc/self/status)"
}
check_ctr_read_only() {
    code "read-only" 1 ctr_run --rm --read-only "$BB" readonly sh -c 'echo x > /file'
    has "message" "Read-only" "$out"
}
check_ctr_mount() {
    mkdir -p "$WORK/bind"
    ctr_run --rm --mount "type=bind,src=$WORK/bind,dst=/data,options=rbind:rw" "$BB" mount1 sh -c 'echo written > /data/file'
    same content written "$(cat "$WORK/bind/file")"
    code "read-only" 1 ctr_run --rm --mount "type=bind,src=$WORK/bind,dst=/data,options=rbind:ro" "$BB" mount2 sh -c 'echo x > /data/file'
}
check_ctr_device() { has "device" "1,  11" "$(ctr_run --rm --device /dev/kmsg "$BB" device ls -l /dev/kmsg)"; }
check_ctr_privileged() { code "mounts" 0 ctr_run --rm --privileged "$BB" privileged mount -t tmpfs x /home; }
check_ctr_net_host() { same net "$(on_net node readlink /proc/self/ns/net)" "$(ctr_run --rm --net-host "$BB" nethost readlink /proc/self/ns/net)"; }
check_ctr_with_ns() {
    sleeper with
    same uts "$(readlink "/proc/$(pid with)/ns/uts")" "$(ctr_run --rm --with-ns "uts:/proc/$(pid with)/ns/uts" "$BB" withns readlink /proc/self/ns/uts)"
}
check_ctr_user_namespace() { same map "0 200000 1000" "$(ctr_run --rm --uidmap 0:200000:1000 --gidmap 0:200000:1000 "$BB" userns cat /proc/self/uid_map | xargs)"; }
check_ctr_duplicate() {
    sleeper duplicate
    code "the second" 1 ctr_run -d --null-io "$BB" duplicate sleep 1
    same status RUNNING "$(status duplicate)"
}

cri() { /usr/bin/python3 "$here/engines/cri.py" "$CONTAINERD_ADDRESS" "$1" "${2:-{\}}"; }
words() { printf '%s\1' "$@" | jq -Rs 'split("\u0001")[:-1]'; }
# A PID namespace for each container, as the kubelet asks unless told otherwise.
OWN='{"linux": {"security_context": {"namespace_options": {"pid": "CONTAINER"}}}}'
# pod NAME [JSON]: runs a sandbox and prints its id; its configuration, with JSON laid over it, goes to $WORK/NAME.pod.
pod() {
    local more=${2:-{\}}
    jq -n --arg name "$1" --arg logs "$WORK/logs" --arg group "/$GROUP/pods" --argjson own "$OWN" --argjson more "$more" \
        '$own * {metadata: {name: $name, uid: $name, namespace: "judge"}, hostname: $name, log_directory: $logs, linux: {cgroup_parent: $group}} * $more' > "$WORK/$1.pod"
    cri RunPodSandbox "{\"config\": $(cat "$WORK/$1.pod")}" | jq -r .pod_sandbox_id
}
# container POD-NAME POD-ID NAME JSON [COMMAND...]: creates a container and prints its id.
container() {
    local name=$1 pod=$2 container=$3 more=$4
    shift 4
    jq -n --arg pod "$pod" --arg name "$container" --arg image "$BB" --argjson own "$OWN" --argjson more "$more" --argjson words "$(words "$@")" \
        --slurpfile sandbox "$WORK/$name.pod" \
        '{pod_sandbox_id: $pod, sandbox_config: $sandbox[0],
          config: ($own * {metadata: {name: $name}, image: {image: $image}, command: $words, log_path: "\($name).log"} * $more)}' > "$WORK/$container.request"
    cri CreateContainer "$(cat "$WORK/$container.request")" | jq -r .container_id
}
# started NAME [JSON]: a pod with one container that sleeps; $pod, $id.
started() {
    local more=${2:-{\}}
    pod=$(pod "$1")
    id=$(container "$1" "$pod" "$1-c" "$more" sleep 1000)
    cri StartContainer "{\"container_id\": \"$id\"}" > /dev/null
}
gone() {
    cri StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}" > /dev/null
    cri RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}" > /dev/null
}
# exec_sync ID COMMAND...: its output and status.
exec_sync() {
    local answer id=$1
    shift
    answer=$(cri ExecSync "$(jq -n --arg id "$id" --argjson words "$(words "$@")" '{container_id: $id, cmd: $words, timeout: 20}')") || return 255
    jq -r .stdout <<< "$answer" | base64 -d
    jq -r .stderr <<< "$answer" | base64 -d >&2
    return "$(jq -r .exit_code <<< "$answer")"
}
container_status() { cri ContainerStatus "{\"container_id\": \"$1\"}" | jq -r '"\(.status.state) \(.status.exit_code)"'; }
container_is() { [ "$(container_status "$1")" = "$2" ]; }
container_pid() { cri ContainerStatus "{\"container_id\": \"$1\", \"verbose\": true}" | jq -r .info.info | jq -r .pid; }

check_cri_version_status() {
    same version v1 "$(cri Version | jq -r .runtime_api_version)"
    same conditions "RuntimeReady true NetworkReady true" "$(cri Status | jq -r '.status.conditions[] | "\(.type) \(.status)"' | xargs)"
}
check_cri_pod() {
    pod=$(pod pod)
    same state SANDBOX_READY "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.state)"
    has address 10.88.7. "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.network.ip)"
    cri StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
    same state SANDBOX_NOTREADY "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.state)"
    cri RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
    code "gone" 1 cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}"
}
check_cri_container() {
    started life
    same state "CONTAINER_RUNNING 0" "$(container_status "$id")"
    cri StopContainer "{\"container_id\": \"$id\", \"timeout\": 1}"
    same state "CONTAINER_EXITED 137" "$(container_status "$id")"
    cri RemoveContainer "{\"container_id\": \"$id\"}"
    code "gone" 1 cri ContainerStatus "{\"container_id\": \"$id\"}"
    gone
}
check_cri_stop_timeout() {
    pod=$(pod term)
    id=$(container term "$pod" term-c '{}' sh -c 'trap "exit 12" TERM; echo > /tmp/ready; while :; do sleep 0.1; done')
    cri StartContainer "{\"container_id\": \"$id\"}"
    until_true "trap" exec_sync "$id" test -f /tmp/ready
    cri StopContainer "{\"container_id\": \"$id\", \"timeout\": 20}"
    same state "CONTAINER_EXITED 12" "$(container_status "$id")"
    gone
}
check_cri_log_and_status() {
    pod=$(pod log)
    id=$(container log "$pod" log-c '{}' sh -c 'echo out; echo err >&2; exit 3')
    cri StartContainer "{\"container_id\": \"$id\"}"
    until_true "its end" container_is "$id" "CONTAINER_EXITED 3"
    has "log" "stdout F out" "$(cat "$WORK/logs/log-c.log")"
    has "log" "stderr F err" "$(cat "$WORK/logs/log-c.log")"
    gone
}
check_cri_start_not_found() {
    pod=$(pod none)
    id=$(container none "$pod" none-c '{}' no-such-program)
    code "start" 1 cri StartContainer "{\"container_id\": \"$id\"}"
    has "message" "executable file not found in \$PATH" "$out"
    gone
}
check_cri_exec_sync() {
    started execsync
    same output "in execsync" "$(exec_sync "$id" sh -c 'echo in $(hostname)')"
    code "status" 6 exec_sync "$id" sh -c 'exit 6'
    code "not found" 255 exec_sync "$id" no-such-program
    has "message" "executable file not found in \$PATH" "$out"
    gone
}
check_cri_stats() {
    started stats '{"linux": {"resources": {"memory_limit_in_bytes": 67108864}}}'
    exec_sync "$id" sh -c 'for i in $(seq 2000); do :; done'
    out=$(cri ContainerStats "{\"container_id\": \"$id\"}")
    [ "$(jq -r .stats.cpu.usage_core_nano_seconds.value <<< "$out")" -gt 0 ] || die "no processor time: $out"
    [ "$(jq -r .stats.memory.working_set_bytes.value <<< "$out")" -gt 0 ] || die "no memory: $out"
    gone
}
check_cri_resources() {
    started resources '{"linux": {"resources": {"memory_limit_in_bytes": 67108864, "cpu_quota": 20000, "cpu_period": 100000, "cpu_shares": 512, "oom_score_adj": 500}}}'
    process=$(container_pid "$id")
    same memory 67108864 "$(limit "$process" memory memory.limit_in_bytes memory.max)"
    has quota 20000 "$(limit "$process" cpu cpu.cfs_quota_us cpu.max)"
    same oom_score_adj 500 "$(cat "/proc/$process/oom_score_adj")"
    cri UpdateContainerResources "{\"container_id\": \"$id\", \"linux\": {\"memory_limit_in_bytes\": 134217728, \"cpu_quota\": 30000, \"cpu_period\": 100000}}"
    same memory 134217728 "$(limit "$process" memory memory.limit_in_bytes memory.max)"
    has quota 30000 "$(limit "$process" cpu cpu.cfs_quota_us cpu.max)"
    gone
}
check_cri_two_containers() {
    started two
    other=$(container two "$pod" two-d '{}' sleep 1000)
    cri StartContainer "{\"container_id\": \"$other\"}"
    for kind in net ipc uts; do
        same $kind "$(exec_sync "$id" readlink /proc/self/ns/$kind)" "$(exec_sync "$other" readlink /proc/self/ns/$kind)"
    done
    [ "$(exec_sync "$id" readlink /proc/self/ns/pid)" != "$(exec_sync "$other" readlink /proc/self/ns/pid)" ] || die "one PID namespace"
    gone
}
check_cri_shared_pid() {
    # A sandbox whose containers share its PID namespace: the runtime must end every process by `kill --all`.
    pod=$(pod sharedpid '{"linux": {"security_context": {"namespace_options": {"pid": "POD"}}}}')
    id=$(container sharedpid "$pod" sharedpid-c '{"linux": {"security_context": {"namespace_options": {"pid": "POD"}}}}' sh -c 'sleep 777 & sleep 888')
    cri StartContainer "{\"container_id\": \"$id\"}"
    has "the sandbox's process" "sleep 1000000" "$(exec_sync "$id" ps)"
    cri StopContainer "{\"container_id\": \"$id\", \"timeout\": 1}"
    other=$(container sharedpid "$pod" sharedpid-d '{"linux": {"security_context": {"namespace_options": {"pid": "POD"}}}}' sleep 1000)
    cri StartContainer "{\"container_id\": \"$other\"}"
    lacks "what was stopped" "sleep 777" "$(exec_sync "$other" ps)"
    gone
}
check_cri_host_namespaces() {
    pod=$(pod hostns '{"hostname": "", "linux": {"security_context": {"namespace_options": {"network": "NODE", "pid": "NODE", "ipc": "NODE"}}}}')
    id=$(container hostns "$pod" hostns-c '{"linux": {"security_context": {"namespace_options": {"network": "NODE", "pid": "NODE", "ipc": "NODE"}}}}' sleep 1000)
    cri StartContainer "{\"container_id\": \"$id\"}"
    same net "$(on_net node readlink /proc/self/ns/net)" "$(exec_sync "$id" readlink /proc/self/ns/net)"
    same pid "$(readlink /proc/self/ns/pid)" "$(exec_sync "$id" readlink /proc/self/ns/pid)"
    gone
}
check_cri_seccomp_default() {
    started seccomp '{"linux": {"security_context": {"seccomp": {"profile_type": "RuntimeDefault"}}}}'
    same filter 2 "$(exec_sync "$id" sed -n 's/^Seccomp:.//p' /proc/self/status)"
    code "unshare" 1 exec_sync "$id" unshare -n true
    gone
}
check_cri_capabilities() {
    started caps '{"linux": {"security_context": {"capabilities": {"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["ALL"]}}}}'
    same caps 0000000000001000 "$(exec_sync "$id" sed -n 's/^CapEff:.//p' /proc/self/status)"
    gone
}
check_cri_read_only_root() {
    started ro '{"linux": {"security_context": {"readonly_rootfs": true}}}'
    code "root" 1 exec_sync "$id" sh -c 'echo x > /file'
    has "message" "Read-only" "$out"
    gone
}
check_cri_user() {
    started user '{"linux": {"security_context": {"run_as_user": {"value": 1000}, "run_as_group": {"value": 1000}, "supplemental_groups": [777], "no_new_privs": true}}}'
    same user "1000 1000 777" "$(exec_sync "$id" sh -c 'echo $(id -u) $(id -g) $(id -G | tr " " "\n" | grep 777)')"
    same nnp 1 "$(exec_sync "$id" sed -n 's/^NoNewPrivs:.//p' /proc/self/status)"
    gone
}
check_cri_privileged() {
    pod=$(pod privileged '{"linux": {"security_context": {"privileged": true}}}')
    id=$(container privileged "$pod" privileged-c '{"linux": {"security_context": {"privileged": true}}}' sleep 1000)
    cri StartContainer "{\"container_id\": \"$id\"}"
    code "mounts" 0 exec_sync "$id" mount -t tmpfs x /home
    has "devices" kmsg "$(exec_sync "$id" ls /dev)"
    gone
}
check_cri_mounts() {
    mkdir -p "$WORK/volume"
    started mounts "{\"mounts\": [{\"host_path\": \"$WORK/volume\", \"container_path\": \"/rw\"}, {\"host_path\": \"$WORK/volume\", \"container_path\": \"/ro\", \"readonly\": true}]}"
    exec_sync "$id" sh -c 'echo written > /rw/file'
    same content written "$(cat "$WORK/volume/file")"
    code "read-only" 1 exec_sync "$id" sh -c 'echo x > /ro/file'
    gone
}
check_cri_device() {
    started device '{"devices": [{"host_path": "/dev/kmsg", "container_path": "/dev/mine", "permissions": "r"}]}'
    has "device" "1,  11" "$(exec_sync "$id" ls -l /dev/mine)"
    code "writable" 1 exec_sync "$id" sh -c ': > /dev/mine'
    gone
}
check_cri_sysctl() {
    pod=$(pod sysctl '{"linux": {"sysctls": {"net.ipv4.ip_unprivileged_port_start": "99"}}}')
    id=$(container sysctl "$pod" sysctl-c '{}' sleep 1000)
    cri StartContainer "{\"container_id\": \"$id\"}"
    same sysctl 99 "$(exec_sync "$id" cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
    gone
}
check_cri_network() {
    pod=$(pod web '{"port_mappings": [{"container_port": 80, "host_port": 8089}]}')
    id=$(container web "$pod" web-c '{}' sh -c 'mkdir /www; echo served > /www/index.html; httpd -f -p 80 -h /www')
    cri StartContainer "{\"container_id\": \"$id\"}"
    address=$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.network.ip)
    page() { on_net node timeout 3 bash -c "exec 3<> /dev/tcp/$1; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3"; }
    until_true "the server" page "$address/80"
    has page served "$(page "$address/80")"
    own=$(on_net node ip -4 -o addr show cni0 | awk '{sub("/.*", "", $4); print $4}')
    has "the published port" served "$(page "$own/8089")"
    gone
}
check_cri_leaves_nothing() {
    started nothing
    process=$(container_pid "$id")
    dir=$(group "$process" memory)
    gone
    [ ! -d "/proc/$process" ] || die "it still runs"
    [ ! -d "$dir" ] || die "the control group is still there"
}
