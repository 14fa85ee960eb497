#!/bin/bash
# title: Slurm
# about: Debian's slurmctld and slurmd on one node, whose jobs run bundles: `srun --container` with `oci.conf` that calls our program.
# packages: busybox-static jq
# limit: 60

# shellcheck source=engines/hosts.sh
. "$here/engines/hosts.sh"

GROUP=ctr-judge-slurm
export STATE=/run/oci SLURM_CONF=$WORK/etc/slurm.conf

configure() {
    local libraries
    libraries=$ROOT/usr/lib/$(uname -m)-linux-gnu
    mkdir -p "$WORK"/{etc,state,spool,bundles}
    cat > "$WORK/etc/slurm.conf" << END
ClusterName=judge
SlurmctldHost=$(hostname -s)(10.77.9.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=/run/munge.socket
PluginDir=$libraries/slurm-wlm
StateSaveLocation=$WORK/state
SlurmdSpoolDir=$WORK/spool
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=$WORK/slurmctld.log
SlurmdLogFile=$WORK/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/linear
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=node NodeAddr=10.77.9.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
END
    printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' > "$WORK/etc/cgroup.conf"
    # `exec`: Slurm calls all of these by `sh -c` and sends signals to the processes of the task. A shell in between dies of SIGTERM, Slurm takes
    # the task for ended, and waits for the end of its output, which the container has open; RunTimeKill comes after that.
    cat > "$WORK/etc/oci.conf" << END
RunTimeQuery="$RUNTIME --root $STATE state %n.%u.%j.%s.%t"
RunTimeKill="$RUNTIME --root $STATE kill -a %n.%u.%j.%s.%t KILL"
RunTimeDelete="$RUNTIME --root $STATE delete --force %n.%u.%j.%s.%t"
RunTimeRun="exec $RUNTIME --root $STATE run -b %b %n.%u.%j.%s.%t"
END
}

fetch() { unpack munge libmunge2 slurmctld slurmd slurm-client slurm-wlm-basic-plugins libhwloc15 libnuma1 liblua5.1-0; }

setup() {
    fetch
    export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$ROOT/usr/lib/$(uname -m)-linux-gnu/slurm-wlm
    sweep "$GROUP"
    # slurmstepd ends by a signal when it has refused a step.
    ulimit -c 0
    # The daemons look up the machine's own name, and want a network device beside the loopback.
    ip link add node type bridge && ip addr add 10.77.9.1/24 dev node && ip link set node up
    printf '127.0.0.1 localhost\n10.77.9.1 %s node\n' "$(hostname -s)" > "$WORK/hosts"
    echo 'nameserver 127.0.0.1' > "$WORK/resolv.conf"
    mount --bind "$WORK/hosts" /etc/hosts && mount --bind "$WORK/resolv.conf" /etc/resolv.conf
    configure
    (umask 077 && head -c 1024 /dev/urandom > "$WORK/munge.key")
    chmod 755 "$WORK"
    munged --force --key-file="$WORK/munge.key" --socket=/run/munge.socket --pid-file=/run/munged.pid --log-file="$WORK/munged.log" --seed-file="$WORK/munge.seed" || skip_all "munged does not start"
    "$ROOT"/usr/sbin/slurmctld-wlm -D -f "$SLURM_CONF" > "$WORK/slurmctld.out" 2>&1 &
    "$ROOT"/usr/sbin/slurmd-wlm -D -N node -f "$SLURM_CONF" -d "$ROOT/usr/sbin/slurmstepd-wlm" > "$WORK/slurmd.out" 2>&1 &
    local n=0
    until [ "$(sinfo -h -o %t 2> /dev/null)" = idle ]; do
        n=$((n + 1))
        [ $n -lt 150 ] && [ "$(jobs -pr | wc -l)" = 2 ] || { tail -n 5 "$WORK"/*.out "$WORK"/*.log; kill "$(cat /run/munged.pid)"; skip_all "the node does not become idle"; }
        sleep 0.1
    done
    busybox_tree "$WORK/tree"
}

teardown() {
    sweep "$GROUP"
    if [ -n "${KEEP_LOGS:-}" ]; then cp "$WORK"/*.log "$KEEP_LOGS"; fi
}

# bundle NAME [JQ-FILTER]: a bundle of the busybox tree; $b.
bundle() {
    b=$WORK/bundles/$1
    # Slurm wants the root filesystem in the bundle.
    mkdir -p "$b/rootfs"
    mount --bind "$WORK/tree" "$b/rootfs"
    jq -n --arg group "/$GROUP/$1" '{
        ociVersion: "1.0.2", root: {path: "rootfs", readonly: false}, hostname: "in-slurm",
        process: {user: {uid: 0, gid: 0}, args: ["/bin/sh"], env: ["PATH=/bin"], cwd: "/", terminal: false},
        mounts: [{destination: "/proc", type: "proc", source: "proc"}, {destination: "/dev", type: "tmpfs", source: "tmpfs"}],
        linux: {cgroupsPath: $group, namespaces: [{type: "pid"}, {type: "mount"}, {type: "ipc"}, {type: "uts"}], resources: {devices: [{allow: false, access: "rwm"}]}}
    } | '"${2:-.}" > "$b/config.json"
}
kept() { ls -A "$STATE" 2> /dev/null; }
nothing_is_left() { [ -z "$("$RUNTIME" --root "$STATE" list -q)" ] && [ -z "$(find /sys/fs/cgroup/*/"$GROUP/$1" -maxdepth 0 2> /dev/null)" ]; }
idle() { [ -z "$(squeue -h)" ]; }

check_srun_output() { bundle output; same output "hello in-slurm" "$(srun --container="$b" sh -c 'echo hello $(hostname)')"; }
check_srun_status() { bundle status; code "status" 7 srun --container="$b" sh -c 'exit 7'; }
check_srun_not_found() {
    bundle notfound
    out=$(srun --container="$b" /no/such/program 2>&1) && found=0 || found=$?
    [ "$found" != 0 ] || die "it succeeded: $out"
    until_true "nothing is left" nothing_is_left notfound
}
check_srun_standard_error() { bundle stderr; same "standard output" out "$(srun --container="$b" sh -c 'echo out; echo err >&2' 2> /dev/null)"; }
check_srun_standard_input() { bundle stdin; same output "TYPED" "$(echo typed | srun --container="$b" tr a-z A-Z)"; }
check_srun_environment() { bundle environment; has job SLURM_JOB_ID= "$(srun --container="$b" env)"; }
check_srun_namespaces() { bundle namespaces; has "a short list of processes" "PID" "$(srun --container="$b" ps)"; lacks "slurmd" slurmd "$(srun --container="$b" ps)"; }
check_srun_root() { bundle root '.root.readonly = true'; code "read-only" 1 srun --container="$b" sh -c 'echo x > /file'; has message Read-only "$out"; }
check_srun_memory_limit() {
    bundle memory '.linux.resources.memory.limit = 33554432'
    srun --container="$b" sleep 4 &
    until_true "its group" sh -c "cat /sys/fs/cgroup/memory/$GROUP/memory/cgroup.procs /sys/fs/cgroup/$GROUP/memory/cgroup.procs | grep ."
    same limit 33554432 "$(cat "/sys/fs/cgroup/memory/$GROUP/memory/memory.limit_in_bytes" 2> /dev/null || cat "/sys/fs/cgroup/$GROUP/memory/memory.max")"
    wait
}
check_srun_user() { bundle user '.process.user = {uid: 1000, gid: 1000}'; same user "1000 1000" "$(srun --container="$b" sh -c 'echo $(id -u) $(id -g)')"; }
check_srun_malformed() {
    bundle malformed '.linux.namespaces += [{type: "nosuch"}]'
    out=$(srun --container="$b" true 2>&1) && found=0 || found=$?
    [ "$found" != 0 ] || die "it succeeded: $out"
    until_true "nothing is left" nothing_is_left malformed
}
check_srun_leaves_nothing() { bundle nothing; srun --container="$b" true; until_true "nothing is left" nothing_is_left nothing; }
check_sbatch() {
    bundle batch
    printf '#!/bin/sh\nsrun --container=%s sh -c "echo batch; exit 4"\n' "$b" > "$WORK/script"
    chmod +x "$WORK/script"
    code "status" 4 sbatch --wait --output="$WORK/batch.out" "$WORK/script"
    has output batch "$(cat "$WORK/batch.out")"
}
check_scancel() {
    bundle cancel
    srun --container="$b" sleep 1000 > "$WORK/cancel.out" 2>&1 &
    local waited=$!
    until_true "it runs" sh -c "cat /sys/fs/cgroup/*/$GROUP/cancel/cgroup.procs /sys/fs/cgroup/$GROUP/cancel/cgroup.procs | grep ."
    has "list" running "$("$RUNTIME" --root "$STATE" list)"
    scancel "$(squeue -h -o %i)"
    until_true "its end" idle
    # srun's own status is no matter of the runtime: Slurm 22.05 gives 0 here, with runc too.
    wait $waited || true
    until_true "nothing is left" nothing_is_left cancel
}
# SIGTERM reaches the program, which has time to end by itself.
check_scancel_term() {
    bundle term
    srun --container="$b" sh -c 'trap "echo ended by itself; exit 3" TERM; echo ready; while :; do sleep 0.1; done' > "$WORK/term.out" 2>&1 &
    local waited=$!
    until_true "it is ready" grep -x ready "$WORK/term.out"
    scancel "$(squeue -h -o %i)"
    until_true "its end" idle
    wait $waited || true
    has "output" "ended by itself" "$(cat "$WORK/term.out")"
    until_true "nothing is left" nothing_is_left term
}
check_two_tasks() {
    bundle tasks
    out=$(srun --ntasks=2 --overcommit --container="$b" hostname 2>&1) && found=0 || found=$?
    ! grep -q 'unexpected number of tasks 2' "$WORK/slurmd.log" || skip "Slurm 22.05 starts one task of a container on a node, and refuses more itself"
    same "status" 0 "$found"
    same "lines" "in-slurm in-slurm" "$(echo "$out" | xargs)"
}
check_time_limit() { skip "Slurm's shortest time limit is a minute"; }
check_two_nodes() { skip "one node: the judge has one host"; }
