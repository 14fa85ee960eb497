# Limits of a pure cgroup v2 host: set, seen in the group, and held by the kernel.

check_host_is_pure_v2() {
    same "file system" cgroup2fs "$(stat -fc %T /sys/fs/cgroup)"
    same "hierarchies" 1 "$(grep -c cgroup /proc/self/mountinfo)"
    has "controllers" memory "$(cat /sys/fs/cgroup/cgroup.controllers)"
}

check_a_container_runs() {
    code "echo" 0 ctr-run --wait --rm busybox echo "from inside"
    same "output" "from inside" "$out"
    code "its group" 0 ctr-run --wait --rm busybox cat /proc/self/cgroup
    same "its group is its root" "0::/" "$out"
    same "nothing is left" "" "$(ls "$CTR_ROOT/containers/run")"
}

check_the_view_of_cgroup2_is_read_only() {
    code "mkdir" 1 ctr-run --wait --rm busybox mkdir /sys/fs/cgroup/evil
    has "read-only" "Read-only" "$out"
    code "the own limit is seen" 0 ctr-run --wait --rm --memory 64m busybox cat /sys/fs/cgroup/memory.max
    same "memory.max" 67108864 "$out"
}

check_memory() {
    id=$(ctr-run --memory 48m busybox sleep 600)
    same "memory.max" 50331648 "$(cat "$(group "$id")/memory.max")"
    ctr-stop --timeout 0 "$id"
}

check_out_of_memory_is_told() {
    code "hog" 137 ctr-run --wait --name hog --memory 24m busybox sh -c 'x=0123456789; while :; do x=$x$x; done'
    has "reason" "out of memory" "$(ctr-ps --all --format json | tr A-Z a-z)"
    # Detached: nobody of ours is there to see it.
    ctr-run --name hog2 --memory 24m busybox sh -c 'x=0123456789; while :; do x=$x$x; done' > /dev/null
    both() { [ "$(ctr-ps --all --format json | grep -ic 'out of memory')" -ge 2 ]; }
    until_true "the reason of hog2: $(ctr-ps --all --format json)" both
}

check_pids() {
    id=$(ctr-run --pids-limit 20 busybox sleep 600)
    same "pids.max" 20 "$(cat "$(group "$id")/pids.max")"
    ctr-stop --timeout 0 "$id"
    code "bomb" 0 ctr-run --wait --rm --pids-limit 20 busybox sh -c '(n=0; while [ $n -lt 60 ]; do sleep 5 & n=$((n+1)); done; echo all started) 2>&1 || true'
    has "bomb" "fork" "$out"
}

check_cpu() {
    id=$(ctr-run --cpus 0.25 busybox sh -c 'while :; do :; done')
    same "cpu.max" "25000 100000" "$(cat "$(group "$id")/cpu.max")"
    sleep 2
    throttled=$(sed -n 's/^nr_throttled //p' "$(group "$id")/cpu.stat")
    [ "$throttled" -gt 2 ] || die "throttled only $throttled times"
    ctr-stop --timeout 0 "$id"
}
