# ctr-oci with the systemd driver and with cgroupfs, on pure cgroup v2.

state=/run/ctr-oci-vm
oci() { ctr-oci --root $state "$@"; }

# A container has our standard output, so nothing may wait for its end.
# made WHAT EXPECTED OPTION...: create; its output goes to $out.
made() {
    local what=$1 expected=$2 found
    shift 2
    oci "$@" > /tmp/oci.out 2>&1 < /dev/null && found=0 || found=$?
    out=$(cat /tmp/oci.out)
    [ "$found" = "$expected" ] || die "$what: expected exit code $expected, found $found: $out"
}

# bundle NAME JSON [SCRIPT]: one that sleeps, with these members of "linux" beside the namespaces.
bundle() {
    local dir=/var/tmp/bundle-$1
    mkdir -p "$dir"
    ln -sfn /var/tmp/image/rootfs "$dir/rootfs"
    cat > "$dir/config.json" << EOF
{"ociVersion":"1.2.0","root":{"path":"/var/tmp/image/rootfs","readonly":true},
 "process":{"user":{"uid":0,"gid":0},"cwd":"/","env":["PATH=/bin"],"args":["sh","-c","${3:-exec sleep 600}"],
   "capabilities":{"bounding":["CAP_MKNOD"],"effective":["CAP_MKNOD"],"permitted":["CAP_MKNOD"]}},
 "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
   {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["mode=755"]},
   {"destination":"/tmp","type":"tmpfs","source":"tmpfs"},
   {"destination":"/sys","type":"sysfs","source":"sysfs","options":["ro"]}],
 "annotations":{"org.systemd.property.TimeoutStopUSec":"uint64 7000000"},
 "linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"ipc"},{"type":"uts"},{"type":"cgroup"},{"type":"network"}],$2}}
EOF
    echo "$dir"
}

limits='"resources":{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":67108864,"swap":100663296},"cpu":{"quota":50000,"period":100000,"shares":512,"cpus":"0"},"pids":{"limit":55},"unified":{"memory.high":"50331648"}}'

check_oci_scope_of_systemd() {
    dir=$(bundle scope "\"cgroupsPath\":\"machine.slice:vm:scope\",$limits")
    made "create" 0 --systemd-cgroup create --bundle "$dir" scope
    cg=/sys/fs/cgroup/machine.slice/vm-scope.scope
    [ -d $cg ] || die "no group: $(find /sys/fs/cgroup -name 'vm-scope*')"
    same "unit" active "$(systemctl is-active vm-scope.scope)"
    same "one process" 1 "$(wc -l < $cg/cgroup.procs)"
    for pair in memory.max=67108864 memory.swap.max=33554432 memory.high=50331648 pids.max=55 cpuset.cpus=0 "cpu.max=50000 100000"; do
        same "${pair%%=*}" "${pair#*=}" "$(cat "$cg/${pair%%=*}")"
    done
    show() { systemctl show -p "$1" --value vm-scope.scope; }
    same "MemoryMax" 67108864 "$(show MemoryMax)"
    same "TasksMax" 55 "$(show TasksMax)"
    same "Delegate" yes "$(show Delegate)"
    same "Slice" machine.slice "$(show Slice)"
    same "CPUQuotaPerSecUSec" 500ms "$(show CPUQuotaPerSecUSec)"
    same "annotation" 7s "$(show TimeoutStopUSec)"
    code "start" 0 oci start scope
    # Limits are still the same when systemd has read everything again.
    systemctl daemon-reload
    same "memory.max after daemon-reload" 67108864 "$(cat $cg/memory.max)"
    code "update" 0 oci update --memory 80M --memory-swap 80M --pids-limit 66 --cpu-quota 30000 scope
    same "memory.max" 83886080 "$(cat $cg/memory.max)"
    same "memory.swap.max" 0 "$(cat $cg/memory.swap.max)"
    same "MemoryMax" 83886080 "$(show MemoryMax)"
    same "cpu.max" "30000 100000" "$(cat $cg/cpu.max)"
    same "TasksMax" 66 "$(show TasksMax)"
    systemctl daemon-reload
    same "pids.max after daemon-reload" 66 "$(cat $cg/pids.max)"
    made "same name" 1 --systemd-cgroup create --bundle "$dir" other
    has "same name" UnitExists "$out"
    code "delete" 0 oci delete --force scope
    [ ! -d $cg ] || die "the group is left"
    same "unit" inactive "$(systemctl is-active vm-scope.scope)"
    code "again" 0 oci delete --force scope
    made "the name is free" 0 --systemd-cgroup create --bundle "$dir" scope
    code "delete" 0 oci delete --force scope
}

check_oci_default_scope_and_failures() {
    dir=$(bundle default "$limits")
    made "create" 0 --systemd-cgroup create --bundle "$dir" plain
    same "unit" active "$(systemctl is-active ctr-oci-plain.scope)"
    # The program ends by itself: nothing keeps the scope.
    oci kill plain KILL
    inactive() { [ "$(systemctl is-active ctr-oci-plain.scope)" = inactive ]; }
    until_true "the scope ends with its last process" inactive
    code "delete" 0 oci delete plain
    made "a path of the other driver" 1 --systemd-cgroup create --bundle "$(bundle path '"cgroupsPath":"/a/b"')" x
    has "a path of the other driver" linux.cgroupsPath "$out"
    made "a limit that cannot be" 1 --systemd-cgroup create --bundle "$(bundle cpus '"cgroupsPath":":vm:bad","resources":{"cpu":{"cpus":"4095"}}')" x
    has "a limit that cannot be" linux.resources.cpu.cpus "$out"
    same "no unit is left" inactive "$(systemctl is-active vm-bad.scope)"
}

check_oci_cgroupfs_on_v2() {
    dir=$(bundle cgroupfs "\"cgroupsPath\":\"/ocitest/one\",$limits")
    made "create" 0 create --bundle "$dir" one
    cg=/sys/fs/cgroup/ocitest/one
    for pair in memory.max=67108864 memory.swap.max=33554432 pids.max=55 "cpu.max=50000 100000"; do
        same "${pair%%=*}" "${pair#*=}" "$(cat "$cg/${pair%%=*}")"
    done
    code "start" 0 oci start one
    code "refused" 1 oci update --memory 100M --memory-swap 200M --cpuset-cpus 4095 one
    has "refused" linux.resources.cpu.cpus "$out"
    same "nothing of it is set" 67108864 "$(cat $cg/memory.max)"
    code "period alone" 0 oci update --cpu-period 50000 one
    same "cpu.max" "50000 50000" "$(cat $cg/cpu.max)"
    stats=$(oci events --stats one)
    has "stats" '"limit":55' "$stats"
    has "stats" '"usage":{"limit":67108864' "$stats"
    echo 1 > $cg/cgroup.freeze
    code "delete of a frozen one" 0 oci delete --force one
    [ ! -d $cg ] || die "the group is left"
}

check_oci_devices_on_v2() {
    script='mknod /tmp/k c 1 11; (true </tmp/k) 2>/dev/null && echo kmsg; mknod /tmp/n c 1 3 && echo x >/tmp/n && echo null; exec sleep 600'
    dir=$(bundle devices '"cgroupsPath":"/ocitest/dev","resources":{"devices":[{"allow":false,"access":"rwm"}]}' "$script")
    oci create --bundle "$dir" dev > /tmp/dev.out 2>&1 < /dev/null || die "create: $(cat /tmp/dev.out)"
    oci start dev
    wrote() { grep -q null /tmp/dev.out; }
    until_true "null can be used: $(cat /tmp/dev.out)" wrote
    ! grep -q kmsg /tmp/dev.out || die "kmsg was read"
    # The rules of an update take the place of the old ones.
    pid=$(oci state dev | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
    echo '{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}' | oci update --resources - dev
    sh -c "echo \$\$ > /sys/fs/cgroup/ocitest/dev/cgroup.procs; true < /proc/$pid/root/tmp/k" || die "kmsg cannot be read after the update"
    oci delete --force dev
}

check_oci_is_told_of_lack_of_memory() {
    dir=$(bundle oom '"cgroupsPath":"/ocitest/oom","resources":{"memory":{"limit":25165824,"swap":25165824}}' 'sleep 2; sh -c \"x=0123456789; while :; do x=\\$x\\$x; done\"; sleep 1')
    oci create --bundle "$dir" oom > /dev/null 2>&1 < /dev/null
    oci events --interval 1h oom > /tmp/oom.events &
    oci start oom
    wait
    has "events" '{"type":"oom","id":"oom"}' "$(cat /tmp/oom.events)"
    oci delete --force oom
}
