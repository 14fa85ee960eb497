# Every controller of cgroup v2, device programs, figures: what hybrid hosts have elsewhere.

# value FILE OPTION...: what the file of the group has for a container with these options.
value() {
    local file=$1
    shift
    id=$(ctr-run "$@" busybox sleep 600) || die "ctr-run $*"
    cat "$(group "$id")/$file"
    ctr-stop --timeout 0 "$id" > /dev/null
}

check_memory_swap_and_reservation() {
    same "swap" 33554432 "$(value memory.swap.max --memory 64m --memory-swap 96m)"
    same "no swap" 0 "$(value memory.swap.max --memory 64m --memory-swap 64m)"
    same "any swap" max "$(value memory.swap.max --memory 64m --memory-swap -1)"
    same "default" 67108864 "$(value memory.swap.max --memory 64m)"
    same "reservation" 16777216 "$(value memory.low --memory 64m --memory-reservation 16m)"
    same "whole" 1 "$(value memory.oom.group --memory 64m)"
}

check_processor_time() {
    same "quota" "20000 50000" "$(value cpu.max --cpu-quota 20000 --cpu-period 50000)"
    same "shares" 100 "$(value cpu.weight --cpu-shares 1024)"
    same "weight" 321 "$(value cpu.weight --cpu-weight 321)"
    same "cpuset" 0 "$(value cpuset.cpus --cpuset 0)"
    same "nodes" 0 "$(value cpuset.mems --cpuset-mems 0)"
    code "held" 0 ctr-run --wait --rm --cpuset 0 busybox grep Cpus_allowed_list /proc/self/status
    has "held" "	0" "$out"
    code "not there" 125 ctr-run --wait --rm --cpuset 4095 busybox true
    has "not there" "--cpuset-cpus" "$out"
}

check_disks() {
    disk=$(lsblk -dnpo NAME | grep -v zram | head -1)
    numbers=$(lsblk -dno MAJ:MIN "$disk" | tr -d ' ')
    same "io.max" "$numbers rbps=max wbps=1048576 riops=max wiops=max" "$(value io.max --device-write-bps "$disk:1M")"
    same "io.max" "$numbers rbps=2097152 wbps=max riops=50 wiops=max" "$(value io.max --device-read-bps "$disk:2M" --device-read-iops "$disk:50")"
    # The weight is there with a scheduler that has it, else an error that names the file.
    if ctr-run --wait --rm --io-weight 200 busybox true 2> /tmp/weight; then :; else has "weight" io. "$(cat /tmp/weight)"; fi
}

check_files_by_name() {
    same "memory.high" 50331648 "$(value memory.high --cgroup-conf memory.high=48M)"
    same "pids.max" 33 "$(value pids.max --cgroup-conf pids.max=33)"
    code "v1 alone" 125 ctr-run --wait --rm --memory 64m --oom-kill-disable busybox true
    has "v1 alone" "--oom-kill-disable" "$out"
    if [ -d /sys/kernel/mm/hugepages/hugepages-2048kB ]; then
        same "hugetlb" 4194304 "$(value hugetlb.2MB.max --hugetlb 2M=4M)"
    fi
}

check_device_rules() {
    script='mknod /dev/mine c 1 3 && echo null; mknod /dev/k c 1 11 2>/dev/null && echo kmsg; echo x >/dev/mine && head -c 2 /dev/zero | wc -c'
    code "mknod" 0 ctr-run --wait --rm --userns host --cap-add MKNOD busybox sh -c "$script"
    same "mknod" "null
2" "$out"
    script='mount -t devtmpfs none /tmp; (head -c 1 </tmp/kmsg) 2>/dev/null && echo read; (head -c 1 </tmp/vda) 2>/dev/null && echo read; echo x >/tmp/null && echo null'
    code "devtmpfs" 0 ctr-run --wait --rm --userns host --cap-add SYS_ADMIN busybox sh -c "$script"
    same "devtmpfs" null "$out"
    rm -f /var/tmp/node && mknod -m 666 /var/tmp/node c 10 237
    for userns in host auto; do
        code "narrow" 0 ctr-run --wait --rm --userns $userns --device /var/tmp/node:/dev/mine:r busybox \
            sh -c 'true </dev/mine && echo read; true 2>/dev/null >/dev/mine && echo written; true'
        has "narrow $userns" read "$out"
        case $out in *written*) die "narrow $userns: $out" ;; esac
    done
}

check_figures() {
    id=$(ctr-run --name figures --memory 64m --cpus 1 busybox sh -c 'dd if=/dev/zero of=/f bs=1M count=8 2>/dev/null; sync; while :; do :; done')
    sleep 2
    json=$(ctr-ps --stats --format json figures)
    has "limit" 67108864 "$json"
    has "source" cgroup "$json"
    has "table" "/ 67.1 MB" "$(ctr-ps --stats figures)"
    has "in force" '"cpu_millis": 1000' "$(ctr-ps --format json figures)"
    ctr-stop --timeout 0 figures
}

check_a_frozen_parent_is_refused() {
    id=$(ctr-run busybox sleep 600)
    parent=$(dirname "$(group "$id")")
    echo 1 > "$parent/cgroup.freeze"
    code "frozen" 125 ctr-run --wait --rm busybox true
    echo 0 > "$parent/cgroup.freeze"
    has "frozen" "is frozen" "$out"
    ctr-stop --timeout 0 "$id"
}

# systemd gives the user's manager a group with memory and pids: what is below is the user's.
check_an_ordinary_user_has_limits_by_delegation() {
    id -u limited > /dev/null 2>&1 || useradd --create-home --shell /bin/sh limited
    grep -q ^limited: /etc/subuid || { echo limited:2500000:65536 >> /etc/subuid; echo limited:2500000:65536 >> /etc/subgid; }
    uid=$(id -u limited)
    systemctl start "user@$uid.service"
    as() {
        setpriv --reuid="$uid" --regid="$(id -g limited)" --clear-groups env CTR_ROOT=/home/limited/ctr HOME=/home/limited \
            XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" "$@"
    }
    as ctr-fetch -q /var/tmp/image/busybox.aci --name busybox > /dev/null
    code "scope" 0 as systemd-run --user --scope -q -p Delegate=yes ctr-run --wait --rm --memory 64m --pids-limit 30 busybox \
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max
    same "limits" "67108864
30" "$out"
    code "outside" 125 as ctr-run --wait --rm --memory 64m busybox true
    has "outside" "systemd-run --user --scope -p Delegate=yes" "$out"
}
