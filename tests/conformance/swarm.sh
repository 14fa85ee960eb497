#!/bin/bash
# title: Docker Swarm
# about: Two nodes made of namespaces, each with Debian's dockerd 20.10 and our program as `default-runtime`, joined to a swarm: placement, limits, a
# about: secret, scaling, logs, an overlay network between the nodes (VXLAN) with DNS round robin, and ports published in host mode. Virtual addresses
# about: and the ingress mesh need the kernel's IP_VS and are not looked at.
# packages: busybox-static iptables jq runc
# limit: 120

# shellcheck source=engines/hosts.sh
. "$here/engines/hosts.sh"
# shellcheck source=engines/docker.sh
. "$here/engines/docker.sh"

GROUP=ctr-judge-swarm
export DOCKER_HOST=unix://$WORK/h1/socket

fetch() { docker_programs; }

setup() {
    fetch
    sweep "$GROUP"
    busybox_tree "$WORK/tree"
    image "$BB" "$WORK/tree" "$WORK/bb.tar" '{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]}'
    (dockerd_on h1 10.77.0.1 "$GROUP/h1" && dockerd_on h2 10.77.0.2 "$GROUP/h2") || { tail -n 20 "$WORK"/h?/log; skip_all "dockerd does not start here"; }
}

teardown() {
    docker service ls -q | xargs -r docker service rm > /dev/null 2>&1
    for host in h1 h2; do docker_of $host ps -aq | xargs -r docker -H "unix://$WORK/$host/socket" rm -f; done > /dev/null 2>&1
    ended h1 h2
    sweep "$GROUP"
    unmount
}

docker_of() {
    local host=$1
    shift
    docker -H "unix://$WORK/$host/socket" "$@"
}
# Where a session types.
at() { export DOCKER_HOST=unix://$WORK/$1/socket; }
# service NAME [OPTION...] COMMAND: a service whose image is on every node.
service() {
    local name=$1
    shift
    docker service create -q --name "$name" --no-resolve-image "$@" > /dev/null
}
# nodes NAME: on how many of which nodes its tasks run.
nodes() { docker service ps --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' "$1" | awk '$2 == "Running" { print $1 }' | sort | uniq -c | xargs; }
runs() { [ "$(nodes "$1")" = "$2" ]; }
# task HOST SERVICE: the id of a container of it on that host.
task() { docker_of "$1" ps -q --filter "label=com.docker.swarm.service.name=$2" | head -n 1; }

check_init_join() {
    docker swarm init --advertise-addr 10.77.0.1 > /dev/null
    docker_of h2 swarm join --token "$(docker swarm join-token -q worker)" 10.77.0.1:2377
    same nodes "h1 Ready h2 Ready" "$(docker node ls --format '{{.Hostname}} {{.Status}}' | sort | xargs)"
    docker node update --label-add disk=ssd h2 > /dev/null
    printf hidden | docker secret create word - > /dev/null
    docker network create -d overlay --attachable --subnet 10.90.0.0/24 over > /dev/null
}
check_service_constraint_limits_secret() {
    service placed --constraint node.labels.disk==ssd --replicas 2 --endpoint-mode dnsrr --limit-memory 64m --limit-cpu .5 --secret word $BB sleep 1000
    runs placed "2 h2" || die "tasks: $(nodes placed)"
    id=$(task h2 placed)
    same secret hidden "$(docker_of h2 exec "$id" cat /run/secrets/word)"
    process=$(docker_of h2 inspect --format '{{.State.Pid}}' "$id")
    same memory 67108864 "$(limit "$process" memory memory.limit_in_bytes memory.max)"
    has quota 50000 "$(limit "$process" cpu cpu.cfs_quota_us cpu.max)"
}
check_service_scale() {
    service scaled --replicas 1 --endpoint-mode dnsrr $BB sleep 1000
    docker service scale -d scaled=4 > /dev/null
    until_true "four tasks on two nodes" runs scaled "2 h1 2 h2"
    docker service scale -d scaled=0 > /dev/null
    until_true "none" runs scaled ""
}
check_service_logs() {
    service logs --mode global --endpoint-mode dnsrr $BB sh -c 'echo here is $(hostname); sleep 1000'
    until_true "both" sh -c 'docker service logs logs 2>&1 | grep -c "here is" | grep -x 2'
    out=$(docker service logs logs 2>&1)
    has "h1" "@h1" "$out"
    has "h2" "@h2" "$out"
}
check_service_restarts_tasks() {
    service failing --endpoint-mode dnsrr --constraint node.hostname==h2 $BB sleep 1000
    before=$(task h2 failing)
    docker_of h2 kill "$before" > /dev/null
    until_true "another task" sh -c "docker -H unix://$WORK/h2/socket ps -q --filter label=com.docker.swarm.service.name=failing | grep -v $before"
}
check_service_update() {
    service changed --endpoint-mode dnsrr --update-delay 0s --update-monitor 1s --stop-grace-period 1s $BB sleep 1000
    docker service update -q --limit-memory 48m --env-add A=new changed > /dev/null
    id=$(task h1 changed); on=h1
    [ -n "$id" ] || { id=$(task h2 changed); on=h2; }
    same variable new "$(docker_of $on exec "$id" sh -c 'echo $A')"
    same memory 50331648 "$(limit "$(docker_of $on inspect --format '{{.State.Pid}}' "$id")" memory memory.limit_in_bytes memory.max)"
}
check_overlay_dnsrr() {
    service web --network over --endpoint-mode dnsrr --mode global --hostname '{{.Node.Hostname}}' $BB sh -c "$WEB"
    service client --network over --endpoint-mode dnsrr --constraint node.hostname==h1 $BB sleep 1000
    addresses() { docker exec "$(task h1 client)" nslookup tasks.web 127.0.0.11 2> /dev/null | grep -oE '10\.90\.0\.[0-9]+' | sort -u; }
    two() { [ "$(addresses | wc -l)" = 2 ]; }
    until_true "two addresses" two
    for address in $(addresses); do docker exec "$(task h1 client)" sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | timeout 5 nc $address 80"; done > "$WORK/pages"
    has "a page of this node" "served by h1" "$(cat "$WORK/pages")"
    has "a page of the other node, over VXLAN" "served by h2" "$(cat "$WORK/pages")"
}
check_overlay_run() {
    out=$(docker_of h2 run --rm --network over $BB sh -c 'ls /sys/class/net | xargs')
    has "interfaces" eth0 "$out"
}
check_publish_host_mode() {
    service published --endpoint-mode dnsrr --constraint node.hostname==h1 --publish mode=host,target=80,published=8081 $BB sh -c "$WEB"
    export -f page
    until_true "the server, from the other node" on h2 bash -c "page 10.77.0.1/8081"
    has page served "$(on h2 bash -c "page 10.77.0.1/8081")"
}
check_node_drain() {
    service drained --replicas 2 --endpoint-mode dnsrr --stop-grace-period 1s $BB sleep 1000
    docker node update --availability drain h2 > /dev/null
    until_true "all on h1" runs drained "2 h1"
    docker node update --availability active h2 > /dev/null
}
check_service_rm() {
    docker service ls -q | xargs docker service rm > /dev/null
    until_true "no container on h1" sh -c "! docker -H unix://$WORK/h1/socket ps -q | grep ."
    until_true "no container on h2" sh -c "! docker -H unix://$WORK/h2/socket ps -q | grep ."
    until_true "no control group" sh -c "! ls -d /sys/fs/cgroup/memory/$GROUP/*/*/"
}
