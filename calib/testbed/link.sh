#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A link of a known rate between two network namespaces of this machine, for real flows.
#   calib/testbed/link.sh up NAME                      NAME-s (198.18.0.1) and NAME-c (198.18.0.2), not yet shaped
#   calib/testbed/link.sh shape NAME MBIT [CEIL ...]   from NAME-s to NAME-c: MBIT Mbit/s in all; CEIL: the most that
#                                                      flow 0, 1, ... gets, Mbit/s, 0 for no bound of its own
#   calib/testbed/link.sh down NAME                    ends whatever runs inside and removes both
# Flow i is all TCP connections whose client port is i modulo 64. Each flow has a queue of its own, and queues that have
# something share the link equally: max-min fair, which TCP over one queue is not. Neither namespace has a way out.
# Payload per second is MBIT x (MTU - 52) / (MTU + 14): IP and TCP headers with time stamps, Ethernet header.
# Needs root, iproute2, and a kernel with veth and HTB; exit code 77 where one is missing. MTU from the environment
# (9000, which leaves more of two processors to the servers than 1500).
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: link.sh up|shape|down NAME [MBIT [CEIL ...]]" >&2; exit 2; }
verb=$1 name=$2 mtu=${MTU:-9000}
shift 2
PATH=$PATH:/usr/sbin:/sbin

skip() { echo "SKIP: $1"; exit 77; }

in_both() { for side in s c; do ip netns exec "$name-$side" "$@"; done; }

up() {
    [ "$(id -u)" = 0 ] || skip "network namespaces need root"
    command -v ip >/dev/null && command -v tc >/dev/null || skip "iproute2 is not installed"
    ip netns add "$name-s" 2>/dev/null || skip "this kernel, or this container, has no network namespaces"
    trap down EXIT
    ip netns add "$name-c"
    ip -n "$name-s" link add wire type veth peer name wire netns "$name-c" 2>/dev/null || skip "this kernel has no veth"
    ip -n "$name-s" address add 198.18.0.1/30 dev wire
    ip -n "$name-c" address add 198.18.0.2/30 dev wire
    for side in s c; do
        ip -n "$name-$side" link set lo up
        # One packet at a time to the queues: HTB takes whatever stands first in a queue in its turn, and a flow whose
        # packets are sent in bundles of many would get as many times the share.
        ip -n "$name-$side" link set wire mtu "$mtu" gso_max_segs 1 up
    done
    # reno keeps the queue of its flow filled; bbr, the default of some kernels, leaves gaps. A connection that has
    # waited for a while goes on at its old speed, as one between two hosts that talk all the time does. What a
    # connection may have under way (wmem) fits into its queue, so that nothing is ever lost and sent again.
    in_both sh -c 'echo reno >/proc/sys/net/ipv4/tcp_congestion_control
                   echo 0 >/proc/sys/net/ipv4/tcp_slow_start_after_idle
                   echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save
                   echo 4096 131072 262144 >/proc/sys/net/ipv4/tcp_wmem' 2>/dev/null || skip "no TCP reno in this kernel"
    tc -n "$name-s" qdisc add dev wire root handle 1: htb 2>/dev/null || skip "this kernel has no HTB"
    trap - EXIT
}

# HTB: a parent of the link's rate lends to 64 classes by deficit round robin, one full packet at a time (quantum). A flow
# that was idle runs ahead of its rate by the packet that it sends at once and by cburst, at 200 Mbit/s by 0.52 ms with
# 4 KiB. With 12 KiB, 0.85 ms, a connection makes good much of the 1 to 3 ms that it waits for the server between two
# requests; with 2 KiB late timers cost 0.3 % of the rate.
classes() {   # MBIT CEIL...
    local rate=$1 flow ceil
    shift
    echo "qdisc replace dev wire root handle 1: htb default 200"
    echo "class add dev wire parent 1: classid 1:1 htb rate ${rate}mbit burst 18k cburst 18k"
    echo "class add dev wire parent 1:1 classid 1:200 htb rate 64kbit ceil ${rate}mbit quantum $((mtu + 14))"
    for flow in {0..63}; do
        ceil=${1:-0}
        [ $# = 0 ] || shift
        [ "$ceil" != 0 ] || ceil=$rate
        echo "class add dev wire parent 1:1 classid 1:$((100 + flow)) htb rate 8kbit ceil ${ceil}mbit" \
             "quantum $((mtu + 14)) burst 12k cburst 4k"
        echo "qdisc add dev wire parent 1:$((100 + flow)) handle $((100 + flow)): bfifo limit 1536k"
        echo "filter add dev wire parent 1: protocol ip prio 1 u32 match ip protocol 6 0xff" \
             "match ip dport $flow 0x3f flowid 1:$((100 + flow))"
    done
}

shape() {
    [ $# -ge 1 ] || { echo "usage: link.sh shape NAME MBIT [CEIL ...]" >&2; exit 2; }
    tc -n "$name-s" qdisc del dev wire root 2>/dev/null || true
    classes "$@" | tc -n "$name-s" -batch - 2>/dev/null || skip "this kernel has no HTB, bfifo or u32 filter"
}

down() {
    local side pid
    for side in s c; do
        [ -e "/run/netns/$name-$side" ] || continue
        # Only what runs inside the two namespaces, which `up` has made.
        for pid in $(ip netns pids "$name-$side"); do kill -KILL "$pid" 2>/dev/null || true; done
        ip netns delete "$name-$side"
    done
}

case $verb in
up | shape | down) $verb "$@" ;;
*) echo "link.sh: no such verb: $verb" >&2; exit 2 ;;
esac
