# Isolation on Debian's kernel: user namespaces over the old mount path, device rules as BPF, security labels.

check_user_namespace_by_default() {
    code "map" 0 ctr-run --wait --rm busybox sh -c 'id -u; awk "{print (\$2 > 65535), \$3}" /proc/self/uid_map; touch /made && stat -c %u /bin/busybox /made'
    same "root over ids of its own, files are root's" "$(printf '0\n1 65536\n0\n0')" "$out"
    code "host ids" 0 ctr-run --wait --rm --userns=host busybox awk '{print $1, $2}' /proc/self/uid_map
    same "host ids" "0 0" "$out"
}

check_volumes_keep_their_ids() {
    mkdir -p /var/tmp/volume && chown 1000:1000 /var/tmp/volume
    code "as bob" 0 ctr-run --wait --rm --user bob -v /var/tmp/volume:/v busybox sh -c 'touch /v/bob && stat -c %u /v /v/bob'
    same "seen inside" "$(printf '1000\n1000')" "$out"
    same "on disk" 1000 "$(stat -c %u /var/tmp/volume/bob)"
}

check_device_rules() {
    # Root on the host ids, so that only the rules are in the way.
    code "a disk by rule" 0 ctr-run --wait --rm --userns=host --device /dev/vdb:/dev/disk:r busybox sh -c 'head -c 1 /dev/disk | wc -c; (: >> /dev/disk) 2>&1 | grep -o "not permitted"'
    same "read, not written" "$(printf '1\nnot permitted')" "$out"
    code "another disk" 1 ctr-run --wait --rm --userns=host --device /dev/vdb:/dev/disk:r busybox sh -c 'head -c 1 /dev/vda'
}

check_io_limits() {
    id=$(ctr-run --device-read-bps /dev/vda:1M --device-write-iops /dev/vda:50 busybox sleep 600)
    has "io.max" "rbps=1048576" "$(cat "$(group "$id")/io.max")"
    has "io.max" "wiops=50" "$(cat "$(group "$id")/io.max")"
    ctr-stop --timeout 0 "$id"
}

check_swap_and_cpuset_and_weight() {
    id=$(ctr-run --memory 64m --memory-swap 96m --memory-reservation 32m --cpuset-cpus 1 --cpu-shares 512 busybox sleep 600)
    dir=$(group "$id")
    same "memory.swap.max" 33554432 "$(cat "$dir/memory.swap.max")"
    same "memory.low" 33554432 "$(cat "$dir/memory.low")"
    same "cpuset.cpus" 1 "$(cat "$dir/cpuset.cpus")"
    [ "$(cat "$dir/cpu.weight")" -lt 100 ] || die "cpu.weight $(cat "$dir/cpu.weight")"
    ctr-stop --timeout 0 "$id"
}

check_stats() {
    id=$(ctr-run --name stats --memory 64m busybox sleep 600)
    has "limit" "67108864" "$(ctr-ps --stats --format json)"
    ctr-stop --timeout 0 "$id"
}

check_nothing_is_left() {
    ctr-stop --all --timeout 0 > /dev/null 2>&1 || true
    ctr-gc --grace 0 > /dev/null
    same "containers" "" "$(ls "$CTR_ROOT/containers/run")"
    same "groups" "" "$(find /sys/fs/cgroup -type d -path '*/ctr/*' -not -path '*/user.slice/*' | head -3)"
    same "mounts" "" "$(grep ctr-vm /proc/self/mountinfo || true)"
}
