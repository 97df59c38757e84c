#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim-calib-net over a link whose rate is known: two network namespaces, one veth pair, both ways capped by tc (tbf).
# What TCP carries of it is (MTU - 52) / (MTU + 14): IPv4, TCP and its time stamps; tbf counts Ethernet's 14.
. "$(dirname "$0")/../../support/shell.sh"
net=$(dirname "$KVSIM")/kvsim-calib-net
[ -x "$net" ] || skip "$net is not built (libucx-dev is missing)"
name=kvn$$
server=
clean() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    wait
    calib/testbed/link.sh down "$name" >/dev/null 2>&1
    rm -rf "$work"
}
trap clean EXIT
calib/testbed/link.sh up "$name" >"$work/up" 2>&1 || { code=$?; cat "$work/up"; exit $code; }

# Mbit/s MTU: both ways.
cap() {
    for side in s c; do
        ip -n "$name-$side" link set wire mtu "$2" up &&
            tc -n "$name-$side" qdisc replace dev wire root tbf rate "$1mbit" burst 64k latency 100ms 2>"$work/err" ||
            skip "tc cannot cap a link here: $(head -1 "$work/err")"
    done
}
# The link must be what limits: other tests run beside this one, so both sides go before them where that is allowed.
export UCX_TLS=tcp UCX_NET_DEVICES=wire UCX_WARN_UNUSED_ENV_VARS=n
cap 200 1500
ip netns exec "$name-s" $first "$net" --listen 198.18.0.1:13337 2>"$work/server" &
server=$!
for _ in $(seq 100); do grep -q listening "$work/server" && break; sleep 0.1; done

# Mbit/s MTU OPERATION: the fitted rate is what the cap leaves, within 3 %.
recovers() {
    cap "$1" "$2"
    rm -rf "$work/$1-$3"
    ip netns exec "$name-c" timeout 60 $first "$net" 198.18.0.1:13337 -o "$work/$1-$3" --operation "$3" \
        --sizes 8B,16KiB,64KiB,256KiB --outstanding 1,8 --endpoints 1,2 --repeats 3 --batch 200ms --budget 15s \
        >"$work/out" 2>"$work/err" || { echo "$*: $(cat "$work/err")"; return 1; }
    "${PYTHON:-python3}" - "$work/$1-$3/profile.yaml" "$@" <<'END'
import re, sys
path, rate, mtu, operation = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
text = open(path).read()
number, unit = re.search(r"^bandwidth: ([0-9.]+)(.*)$", text, re.M).groups()
found = float(number) * {"bps": 1e-6, "Kbps": 1e-3, "Mbps": 1, "Gbps": 1e3, "MB/s": 8, "GB/s": 8e3, "kB/s": 8e-3}[unit]
payload = rate * (mtu - 52) / (mtu + 14)
print(f"{rate:.0f} Mbit/s, MTU {mtu:.0f}, {operation}s: {payload:.1f} Mbit/s of payload, found {found:.1f} "
      f"({100 * found / payload - 100:+.2f} %)")
assert "transport: tcp/wire" in text and "headers: false" in text, text
sys.exit(0 if abs(found / payload - 1) <= 0.03 else f"{found / payload} of the payload")
END
}
attempts 3 recovers 200 1500 read
attempts 3 recovers 400 9000 write
exit $failed
