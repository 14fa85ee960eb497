# Labels of AppArmor, which Debian's kernel enforces.

check_apparmor_confines_runs_and_execs() {
    same "AppArmor" Y "$(cat /sys/module/apparmor/parameters/enabled)"
    [ -d /sys/kernel/security/apparmor ] || mount -t securityfs securityfs /sys/kernel/security
    cat > /var/tmp/ctr-vm.aa <<'PROFILE'
profile ctr-vm flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  unix,
  deny /etc/group r,
}
PROFILE
    apparmor_parser --replace --skip-cache /var/tmp/ctr-vm.aa
    code "label" 0 ctr-run --wait --rm --security-opt apparmor=ctr-vm busybox cat /proc/self/attr/current
    same "label" "ctr-vm (enforce)" "$out"
    code "denied" 1 ctr-run --wait --rm --security-opt apparmor=ctr-vm busybox cat /etc/group
    has "denied" "Permission denied" "$out"
    id=$(ctr-run --security-opt apparmor=ctr-vm busybox sleep 600)
    code "exec has the label" 0 ctr-exec "$id" cat /proc/self/attr/current
    same "exec has the label" "ctr-vm (enforce)" "$out"
    code "exec is denied" 1 ctr-exec "$id" cat /etc/group
    ctr-stop --timeout 0 "$id"
    code "no such profile" 125 ctr-run --wait --rm --security-opt apparmor=ctr-nowhere busybox true
    has "no such profile" "ctr-nowhere" "$out"
}
