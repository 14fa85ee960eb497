# The output of a container that a systemd unit starts is in the unit's journal, and ctr-logs reads it from there.

check_logs_come_from_the_journal() {
    systemd-run --quiet --unit=ctr-j1 --property=Type=oneshot --property=RemainAfterExit=yes \
        --setenv=CTR_ROOT="$CTR_ROOT" --setenv=PATH="$PATH" \
        "$(command -v ctr-run)" --name j1 busybox sh -c 'echo first; echo second >&2; until [ -e /go ]; do sleep 0.2; done; echo third'
    both() { [ "$(ctr-logs j1)" = "first
second" ]; }
    until_true "both lines: $(ctr-logs j1 2>&1); all of the journal: $(journalctl --no-pager -n 20 -o verbose 2>&1 | grep -E 'MESSAGE=|INVOC|CGROUP|STREAM')" both
    same "the last one" second "$(ctr-logs --tail 1 j1)"
    ctr-logs --follow j1 > /var/tmp/followed &
    follower=$!
    ctr-exec j1 touch /go
    wait $follower
    same "followed to the end" "first
second
third" "$(cat /var/tmp/followed)"
    ctr-logs --timestamps j1 | grep -q '^20.*Z third$' || die "no time: $(ctr-logs --timestamps j1)"
    systemctl stop ctr-j1
    ctr-rm j1
}
