#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The page of profiles against measurements: its errors are those of the shipped profile on points priced by hand, and
# wrong input is refused.
. "$(dirname "$0")/../support/shell.sh"
export KVSIM PYTHONDONTWRITEBYTECODE=1
python=/usr/bin/python3
$python -c "import matplotlib, numpy" 2>/dev/null || skip "$python has no matplotlib (package python3-matplotlib)"

# Measured is what the profile says, times 1.25: every error is -20 %.
mkdir "$work/t"
{ echo dtype,m,n,k
  for m in 1 16 128 1024; do for n in 1024 4096; do echo "bf16,$m,$n,4096"; done; done; } >"$work/shapes.csv"
"$KVSIM" calib predict l40s "$work/shapes.csv" -o "$work/priced.csv" || fail "predict"
awk -F, 'NR == 1 { print "dtype,m,n,k,latency_ms"; next } { printf "%s,%s,%s,%s,%.9g\n", $1, $2, $3, $4, 1.25 * $5 }' \
    "$work/priced.csv" >"$work/t/gemm.csv"
$python analysis/plot_calibration.py "$work/p.html" "l40s=$work/t" >"$work/out" 2>&1 || { cat "$work/out"; fail "page"; }
grep -q '^l40s, products: 8 points, mean |error| 20.00 %$' "$work/out" || { cat "$work/out"; fail "errors of the page"; }
[ "$(grep -c '<svg' "$work/p.html")" = 1 ] && grep -q 'operators of l40s' "$work/p.html" || fail "what is on the page"

refused() {
    $python analysis/plot_calibration.py "$work/q.html" "$1" >"$work/out" 2>&1 && fail "$1: taken"
    grep -q "$2" "$work/out" && ! grep -q Traceback "$work/out" && [ ! -e "$work/q.html" ] ||
        { cat "$work/out"; fail "$1: expected $2"; }
}
refused "l40s" "expected PROFILE=TABLES"
refused "l40s=$work" "no table of l40s"
refused "no-such-gpu=$work/t" "no-such-gpu"
sed -i 's/^bf16,16,1024/bf16,x,1024/' "$work/t/gemm.csv"
refused "l40s=$work/t" "csv:4"
exit $failed
