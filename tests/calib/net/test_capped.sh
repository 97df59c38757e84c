#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim-calib-net over a link whose rate is known: two network namespaces, one veth pair, both ways capped by tc (tbf).
# What TCP carries of it is (MTU - 52) / (MTU + 14): IPv4, TCP and its time stamps; tbf counts Ethernet's 14.
set -u
kvsim=${KVSIM:-./kvsim}
net=$(dirname "$kvsim")/kvsim-calib-net
skip() { echo "SKIP: $*"; exit 77; }
[ -x "$net" ] || skip "$net is not built (libucx-dev is missing)"
[ "$(id -u)" = 0 ] || skip "making network namespaces needs root"
for tool in ip tc; do command -v $tool >/dev/null || skip "$tool is missing (iproute2)"; done
name=kvn$$
work=$(mktemp -d)
server=
clean() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    wait
    for side in s c; do ip netns del "$name-$side" 2>/dev/null; done
    rm -rf "$work"
}
trap clean EXIT
ip netns add "$name-s" 2>"$work/err" && ip netns add "$name-c" 2>"$work/err" &&
    ip -n "$name-s" link add veth0 type veth peer name veth0 netns "$name-c" 2>"$work/err" ||
    skip "no network namespaces with a veth pair here: $(head -1 "$work/err")"
# 198.18.0.0/15 is for such tests (RFC 2544); neither namespace is joined to any other network.
ip -n "$name-s" addr add 198.18.0.1/30 dev veth0
ip -n "$name-c" addr add 198.18.0.2/30 dev veth0

# Mbit/s MTU: both ways.
cap() {
    for side in s c; do
        ip -n "$name-$side" link set veth0 mtu "$2" up &&
            tc -n "$name-$side" qdisc replace dev veth0 root tbf rate "$1mbit" burst 64k latency 20ms 2>"$work/err" ||
            skip "tc cannot cap a link here: $(head -1 "$work/err")"
    done
}
failures=0
export UCX_TLS=tcp UCX_NET_DEVICES=veth0 UCX_WARN_UNUSED_ENV_VARS=n
cap 200 1500
ip netns exec "$name-s" "$net" --listen 198.18.0.1:13337 2>"$work/server" &
server=$!
for _ in $(seq 100); do grep -q listening "$work/server" && break; sleep 0.1; done

# Mbit/s MTU OPERATION: the fitted rate is what the cap leaves, within 3 %.
recovers() {
    cap "$1" "$2"
    ip netns exec "$name-c" timeout 60 "$net" 198.18.0.1:13337 -o "$work/$1-$3" --operation "$3" \
        --sizes 8B,16KiB,64KiB,256KiB --outstanding 1,8 --endpoints 1,2 --repeats 3 --batch 150ms --budget 15s \
        >"$work/out" 2>"$work/err" || { echo "FAIL: $*: $(cat "$work/err")"; failures=$((failures + 1)); return; }
    "${PYTHON:-python3}" - "$work/$1-$3/profile.yaml" "$@" <<'END' || failures=$((failures + 1))
import re, sys
path, rate, mtu, operation = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
text = open(path).read()
number, unit = re.search(r"^bandwidth: ([0-9.]+)(.*)$", text, re.M).groups()
found = float(number) * {"bps": 1e-6, "Kbps": 1e-3, "Mbps": 1, "Gbps": 1e3, "MB/s": 8, "GB/s": 8e3, "kB/s": 8e-3}[unit]
payload = rate * (mtu - 52) / (mtu + 14)
print(f"{rate:.0f} Mbit/s, MTU {mtu:.0f}, {operation}s: {payload:.1f} Mbit/s of payload, found {found:.1f} "
      f"({100 * found / payload - 100:+.2f} %)")
assert "transport: tcp/veth0" in text and "headers: false" in text, text
sys.exit(0 if abs(found / payload - 1) <= 0.03 else f"FAIL: {found / payload}")
END
}
recovers 200 1500 read
recovers 400 9000 write
[ $failures = 0 ]
