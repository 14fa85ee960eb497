# Freezing and killing by the control group.

check_stop_removes_the_group() {
    id=$(ctr-run busybox sleep 600)
    [ -d "$(group "$id")" ] || die "no group"
    code "stop" 0 ctr-stop --timeout 1 "$id"
    ctr-gc --grace 0 > /dev/null
    same "group" "" "$(group "$id")"
}

check_a_frozen_container_is_stopped() {
    id=$(ctr-run busybox sh -c 'trap "" TERM; while :; do sleep 1; done')
    dir=$(group "$id")
    echo 1 > "$dir/cgroup.freeze"
    frozen() { grep -q 'frozen 1' "$dir/cgroup.events"; }
    until_true "frozen" frozen
    code "stop" 0 timeout 30 ctr-stop --timeout 1 "$id"
    gone() { [ ! -d "$dir" ] || grep -q 'populated 0' "$dir/cgroup.events"; }
    until_true "nobody in the group" gone
}

check_the_whole_group_is_killed() {
    # Processes that left their session and ignore signals are ended with the rest.
    id=$(ctr-run busybox sh -c 'trap "" TERM INT HUP; for n in 1 2 3; do setsid sh -c "trap \"\" TERM; sleep 600" & done; wait')
    dir=$(group "$id")
    several() { [ "$(wc -l < "$dir/cgroup.procs")" -ge 5 ]; }
    until_true "all run" several
    code "stop" 0 ctr-stop --timeout 1 "$id"
    gone() { [ ! -d "$dir" ] || grep -q 'populated 0' "$dir/cgroup.events"; }
    until_true "nobody in the group" gone
}
