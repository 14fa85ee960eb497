# containerd with ctr-oci above systemd's control groups, on pure cgroup v2: what SystemdCgroup = true gives.

export CONTAINERD_ADDRESS=/run/containerd-vm/socket CONTAINERD_NAMESPACE=vm
containerd_up() {
    mkdir -p /run/containerd-vm
    printf 'version = 2\nroot = "/var/tmp/containerd"\nstate = "/run/containerd-vm/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "%s"\n' $CONTAINERD_ADDRESS > /run/containerd-vm/config.toml
    systemd-run --quiet --collect --unit ctr-vm-containerd --setenv=PATH="$PATH" --property=Delegate=yes containerd --config /run/containerd-vm/config.toml
    answers() { ctr version > /dev/null 2>&1; }
    until_true "containerd" answers
}
# systemd_ctr NAME OPTION... COMMAND
systemd_ctr() {
    local name=$1
    shift
    ctr run --cgroup "machine.slice:judge:$name" --runc-binary /payload/bin/ctr-oci --runc-systemd-cgroup --rootfs --read-only --env PATH=/bin "$@"
}

check_containerd_systemd_groups() {
    containerd_up
    same "output" "hello 1" "$(systemd_ctr hello --rm /var/tmp/image/rootfs hello sh -c 'echo hello $$')"
    code "status" 7 systemd_ctr status --rm /var/tmp/image/rootfs status sh -c 'exit 7'
    code "run" 0 systemd_ctr web -d --null-io --memory-limit 67108864 --cpu-quota 50000 --cpu-period 100000 /var/tmp/image/rootfs web sleep 1000
    cg=/sys/fs/cgroup/machine.slice/judge-web.scope
    same "unit" active "$(systemctl is-active judge-web.scope)"
    same "memory.max" 67108864 "$(cat $cg/memory.max)"
    same "cpu.max" "50000 100000" "$(cat $cg/cpu.max)"
    same "exec" 0 "$(ctr task exec --exec-id one web id -u)"
    ctr task exec -d --exec-id two web sleep 500
    same "both are in the scope" 2 "$(wc -l < $cg/cgroup.procs)"
    has "metrics" "memory.usage_limit" "$(ctr task metrics web)"
    code "pause" 0 ctr task pause web
    same "frozen" 1 "$(cat $cg/cgroup.freeze)"
    code "resume" 0 ctr task resume web
    code "kill" 0 ctr task kill --all --signal KILL web
    stopped() { ctr task ls | grep -q 'web .*STOPPED'; }
    until_true "it stops" stopped
    has "status" 137 "$(ctr task rm web 2>&1)"
    ctr container rm web
    [ ! -d $cg ] || die "the group is left"
    same "no unit is left" inactive "$(systemctl is-active judge-web.scope)"
    same "no container is left" "" "$(ctr-oci --root /run/containerd/runc/vm list --quiet)"
    systemctl stop ctr-vm-containerd
}
