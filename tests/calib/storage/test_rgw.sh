#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim-calib-storage against a real Ceph RADOS Gateway: signatures, a profile, its errors, a run with it.
set -u
cd "$(dirname "$0")/../../.."
KVSIM=$(realpath "${KVSIM:-build/release/kvsim}")
calib=$(dirname "$KVSIM")/kvsim-calib-storage
[ -x "$calib" ] || { echo "SKIP: kvsim-calib-storage was left out of the build"; exit 77; }
work=$(mktemp -d) failed=0
finish() { calib/testbed/rgw.sh down "$work/rgw" >/dev/null 2>&1; rm -rf "$work"; }
trap finish EXIT
complain() { echo "FAIL: $*"; failed=1; }
export PORT=$((20000 + $$ % 10000)) MON_PORT=$((30000 + $$ % 2000))
calib/testbed/rgw.sh up "$work/rgw" >"$work/up" 2>&1 || { code=$?; tail -5 "$work/up"; exit $code; }
set -a; . "$work/rgw/s3.env"; set +a

"$KVSIM" calib storage -o "$work/p" --quiet --budget 12s --samples 24 --sizes 4KiB,256KiB,2MiB --connections 1,4 \
    --note "a test" >"$work/out" 2>&1 || { cat "$work/out"; complain "calib storage"; }
for secret in "$S3_SECRET" "$S3_KEY"; do grep -rqF "$secret" "$work/p" && complain "credentials are in the profile"; done
"$KVSIM" calib info "$work/p" >"$work/info" || complain "info"
grep -q '^note *a test' "$work/info" || complain "info: no note"
# Medians of the model are those measured. Only whole reads: a machine with other work to do changes between cells.
awk -F'|' '/^get / { split($2, f, " "); d = f[2] / f[1] - 1; sum += d < 0 ? -d : d; n++ }
     END { print "first byte: mean error " 100 * sum / n " % of " n " medians"; exit !(n == 6 && sum / n < 0.10) }' \
    "$work/out" || complain "first bytes are not within 10 %"
# The fit is that of the samples, whatever the bar says of a busy machine.
"$KVSIM" calib check "$work/p" --bar 1000 >"$work/check" 2>&1 || { cat "$work/check"; complain "check"; }
"$KVSIM" calib diff "$work/p" rgw-loopback | grep -q '^first_byte ' || complain "diff"

S3_SECRET=wrong "$KVSIM" calib storage -o "$work/q" --quiet --budget 2s >"$work/out" 2>&1
[ $? = 7 ] && grep -q "wrong credentials" "$work/out" || { cat "$work/out"; complain "wrong secret"; }

cat >"$work/run.yaml" <<END
kvsim: 1
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: h100-sxm, nic: 100Gbps}}
tiers:
  - {name: hbm, kind: hbm, num_gpu_blocks: 64}
  - {name: s3, kind: object, capacity: unlimited, chunk_tokens: 64, store: {profile: ./p}, write: through}
network: {links: {fabric: {kind: fair, bandwidth: 100Gbps}}}
workload: {trace: $work/rows.jsonl, format: {kind: blocks, block_tokens: 16}}
END
for i in 0 1 2; do echo "{\"arrival_s\": $((5 * i)), \"input_toks\": 640, \"output_toks\": 2}"; done >"$work/rows.jsonl"
"$KVSIM" run "$work/run.yaml" -o "$work/r.h5" >"$work/out" 2>&1 || { cat "$work/out"; complain "a run with the profile"; }
exit $failed
