# An ordinary user without a delegated group (limits by delegation: see the check of that name).

as_user() {
    mkdir -p /run/user/1000 && chown ctr-test:ctr-test /run/user/1000
    setpriv --reuid=ctr-test --regid=ctr-test --init-groups env -i PATH=$PATH HOME=/home/ctr-test USER=ctr-test XDG_RUNTIME_DIR=/run/user/1000 "$@"
}

user_image() { as_user ctr-fetch -q /var/tmp/image/busybox.aci --name busybox > /dev/null; }

check_a_user_runs_a_container() {
    user_image
    code "run" 0 as_user ctr-run --wait --rm busybox sh -c 'id -u; wc -l < /proc/self/uid_map; touch /x && echo wrote'
    same "root of an own user namespace" "$(printf '0\n2\nwrote')" "$(echo "$out" | sed 's/^ *//')"
    code "other user" 0 as_user ctr-run --wait --rm --user bob busybox id -u
    same "another id" 1000 "$out"
}

check_a_user_without_delegation_hears_it() {
    user_image
    code "memory" 125 as_user ctr-run --wait --rm --memory 64m busybox true
    has "reason" "control group" "$out"
}

check_detach_exec_stop_by_a_user() {
    user_image
    code "start" 0 as_user ctr-run --name mine busybox sleep 600
    code "exec" 0 as_user ctr-exec mine sh -c 'id -u; hostname | wc -c'
    has "exec" 0 "$out"
    has "ps" mine "$(as_user ctr-ps)"
    code "stop" 0 as_user ctr-stop --timeout 0 mine
    code "gc" 0 as_user ctr-gc --grace 0
    same "nothing left" "" "$(ls /home/ctr-test/.local/share/ctr/containers/run)"
}
