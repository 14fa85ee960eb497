# The output of a container that a systemd unit starts is in the unit's journal, and ctr-logs reads it from there.

check_logs_come_from_the_journal() {
    systemd-run --quiet --unit=ctr-j1 --property=Type=oneshot --property=RemainAfterExit=yes \
        --setenv=CTR_ROOT="$CTR_ROOT" --setenv=PATH="$PATH" \
        "$(command -v ctr-run)" --name j1 busybox sh -c 'echo first; echo second >&2; sleep 8; echo third'
    until_true "the unit is up" ctr-logs j1
    both() { [ "$(ctr-logs j1)" = "first
second" ]; }
    until_true "both lines: $(ctr-logs j1)" both
    same "the last one" second "$(ctr-logs --tail 1 j1)"
    same "followed to the end" "first
second
third" "$(ctr-logs --follow j1)"
    ctr-logs --timestamps j1 | grep -q '^20.*Z third$' || die "no time: $(ctr-logs --timestamps j1)"
    systemctl stop ctr-j1
    ctr-rm j1
}
