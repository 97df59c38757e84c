#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim-calib-storage over a link of a known rate (tc, between two network namespaces): the rate is found within 3 %,
# of one connection and of two, each of which has a queue of its own.
. "$(dirname "$0")/../../support/shell.sh"
programs=$(dirname "$KVSIM")
calib=$programs/kvsim-calib-storage server=$programs/tests/calib/storage/test_storage
[ -x "$calib" ] && [ -x "$server" ] || skip "kvsim-calib-storage was left out of the build"
name=kvst$$ pid=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null
    calib/testbed/link.sh down "$name" >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT
calib/testbed/link.sh up "$name" >"$work/up" 2>&1 || { code=$?; cat "$work/up"; exit $code; }
calib/testbed/link.sh shape "$name" 200 >"$work/up" 2>&1 || { code=$?; cat "$work/up"; exit $code; }

ip netns exec "$name-s" $first "$server" --serve 198.18.0.1 8080 >"$work/server" 2>&1 &
pid=$!
for _ in $(seq 100); do grep -q ready "$work/server" && break; sleep 0.05; done

# 200 Mbit/s less the headers of 9000-byte packets: 24.82 MB/s of payload.
measured() {   # FOLDER KEY: a rate of profile.yaml in MB/s
    awk -v key="$2:" '$1 == key { n = $2; u = $2; sub(/[A-Za-z\/]+$/, "", n); sub(/^[0-9.]+/, "", u)
        f["B/s"] = 1e-6; f["KB/s"] = 1e-3; f["MB/s"] = 1; f["GB/s"] = 1e3
        f["bps"] = 1e-6 / 8; f["Kbps"] = 1e-3 / 8; f["Mbps"] = 1 / 8; f["Gbps"] = 1e3 / 8
        print n * f[u] }' "$1/profile.yaml"
}
near() {   # WHAT VALUE
    awk -v v="$2" 'BEGIN { w = 200 / 8 * 8948 / 9014; exit !(v / w > 0.97 && v / w < 1.03) }' ||
        { echo "$1: $2 MB/s, expected 24.82 within 3 %"; return 1; }
}
recovers() {   # CONNECTIONS FOLDER
    rm -rf "$2"
    S3_ENDPOINT=http://198.18.0.1:8080 S3_KEY=k S3_SECRET=s ip netns exec "$name-c" $first "$calib" -o "$2" --quiet \
        --sizes 512KiB,2MiB,8MiB --connections "$1" --ops get --samples 8 --budget 20s --port-slot 3 >"$work/out" 2>&1 ||
        { cat "$work/out"; return 1; }
    near "one connection" "$(measured "$2" stream_rate)" && near "all together" "$(measured "$2" bandwidth)"
}
attempts 3 recovers 1,2 "$work/p"
[ $failed = 0 ] && echo "link: one connection $(measured "$work/p" stream_rate) MB/s, all together $(measured "$work/p" bandwidth) MB/s of 24.82"
exit $failed
