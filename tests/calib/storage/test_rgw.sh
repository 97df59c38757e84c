#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim-calib-storage against a real Ceph RADOS Gateway: signatures, a profile, its errors, a run with it.
. "$(dirname "$0")/../../support/shell.sh"
. tests/support/store_run.sh
calib=$(dirname "$KVSIM")/kvsim-calib-storage
[ -x "$calib" ] || skip "kvsim-calib-storage was left out of the build"
finish() { calib/testbed/rgw.sh down "$work/rgw" >/dev/null 2>&1; rm -rf "$work"; }
trap finish EXIT
export PORT=$((20000 + $$ % 10000)) MON_PORT=$((30000 + $$ % 2000))
calib/testbed/rgw.sh up "$work/rgw" >"$work/up" 2>&1 || { code=$?; tail -5 "$work/up"; exit $code; }
set -a; . "$work/rgw/s3.env"; set +a

# A profile whose medians are those measured. Only whole reads: a machine with other work to do changes between cells.
measured() {
    rm -rf "$work/p"
    $first "$KVSIM" calib storage -o "$work/p" --quiet --budget 12s --samples 24 --sizes 4KiB,256KiB,2MiB \
        --connections 1,4 --note "a test" >"$work/out" 2>&1 || { cat "$work/out"; return 1; }
    awk -F'|' '/^get / { split($2, f, " "); d = f[2] / f[1] - 1; sum += d < 0 ? -d : d; n++ }
         END { print "first byte: mean error " 100 * sum / n " % of " n " medians"; exit !(n == 6 && sum / n < 0.10) }' \
        "$work/out"
}
attempts 3 measured
for secret in "$S3_SECRET" "$S3_KEY"; do grep -rqF "$secret" "$work/p" && fail "credentials are in the profile"; done
"$KVSIM" calib info "$work/p" >"$work/info" || fail "info"
grep -q '^note *a test' "$work/info" || fail "info: no note"
# The fit is that of the samples, whatever the bar says of a busy machine.
"$KVSIM" calib check "$work/p" --bar 1000 >"$work/check" 2>&1 || { cat "$work/check"; fail "check"; }
"$KVSIM" calib diff "$work/p" rgw-loopback | grep -q '^first_byte ' || fail "diff"

S3_SECRET=wrong "$KVSIM" calib storage -o "$work/q" --quiet --budget 2s >"$work/out" 2>&1
[ $? = 7 ] && grep -q "wrong credentials" "$work/out" || { cat "$work/out"; fail "wrong secret"; }

store_run
"$KVSIM" run "$work/run.yaml" -o "$work/r.h5" >"$work/out" 2>&1 || { cat "$work/out"; fail "a run with the profile"; }
exit $failed
