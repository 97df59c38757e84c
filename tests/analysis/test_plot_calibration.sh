#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The page of profiles against measurements: its errors are those of shipped profiles on points priced by hand, and
# wrong input is refused.
. "$(dirname "$0")/../support/shell.sh"
export KVSIM PYTHONDONTWRITEBYTECODE=1
python=/usr/bin/python3
$python -c "import matplotlib, numpy" 2>/dev/null || skip "$python has no matplotlib (package python3-matplotlib)"

# Measured is what the profile says, times 1.25: every error is -20 %.
mkdir "$work/t"
{ echo dtype,m,n,k
  for m in 1 16 128 1024; do for n in {1024..4096..60}; do echo "bf16,$m,$n,4096"; done; done; } >"$work/shapes.csv"
"$KVSIM" calib predict l40s "$work/shapes.csv" -o "$work/priced.csv" || fail "predict"
awk -F, 'NR == 1 { print "dtype,m,n,k,latency_ms"; next } { printf "%s,%s,%s,%s,%.9g\n", $1, $2, $3, $4, 1.25 * $5 }' \
    "$work/priced.csv" >"$work/t/gemm.csv"
$python analysis/plot_calibration.py "$work/p.html" "l40s=$work/t" >"$work/out" 2>&1 ||
    { cat "$work/out"; fail "page"; }
grep -q '^l40s, products: 208 points, mean |error| 20.00 %$' "$work/out" ||
    { cat "$work/out"; fail "errors of the page"; }
[ "$(grep -c '<svg' "$work/p.html")" = 1 ] && grep -q 'operators of l40s' "$work/p.html" || fail "what is on the page"

# A profile of layers, the same way: tables at its knots, 1.25 times what docs/calibration.md says a layer costs there.
# A layer has two norms and no embedding; decodes of two lengths cost their share of the way from mean to longest.
name=rtx-pro-6000_qwen3-30b-a3b_tp1 profile=models/profiles/rtx-pro-6000_qwen3-30b-a3b_tp1
mkdir "$work/l"
block_us=$(awk -F': ' '$1 == "mixed_block" && sub(/ns$/, "", $2) { print $2 / 1000 }' $profile/profile.yaml)
[ "$block_us" ] || fail "no block in ns in $profile"
awk -F, 'NR == 1 { print "layer,tokens,time_us"; next }
         { printf "layernorm,%d,0.25\nqkv_proj,%d,%.6f\nembedding,%d,9\n", $1, $1, 1.25 * $2 - 0.5, $1 }' \
    $profile/dense.csv >"$work/l/dense.csv"
awk -F, 'NR == 1 { print "layer,sequences,time_us"; next }
         { printf "lm_head,%d,%.6f\nsampler,%d,1\n", $1, 1.25 * $2 - 1, $1 }' \
    $profile/head.csv >"$work/l/per_sequence.csv"
awk -F, 'NR == 1 { print "tokens,activated_experts,time_us"; next }
         { printf "%d,%d,%.6f\n", $1, $2, 1.25 * $3 }' $profile/experts.csv >"$work/l/moe.csv"
awk -F, -v block="$block_us" '
    FNR == 1 { file++; next }
    file == 1 { added[$1] = $4 / 1000 }
    file == 2 { new[++chunks] = $1; cached[chunks] = $2; us[chunks] = $3; least = chunks == 1 ? $3 : least
                row(1.25 * $3, $1, $2, 0, 0) }
    file == 3 { row(1.25 * $3, 0, 0, $1, $2) }
    file == 4 && $1 in added { for (c = 1; c <= chunks; c += 7) {
        more = us[c] > $3 ? us[c] : $3; less = us[c] + $3 - more - least
        row(1.25 * (more + added[$1] * (less > 0 ? less : 0) + block * $1 * new[c]), new[c], cached[c], $1, $2) } }
    function row(time, n, k, r, s) { printf "%d,%d,%d,%d,%.6f\n", n, k, r, s, time }
    BEGIN { print "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us" }' \
    $profile/shares.csv $profile/prefill.csv $profile/decode.csv $profile/mixed.csv >"$work/l/attention.csv"
awk -F, 'NR == 1 { print "n,pc,t_mean_us,t_max_us,t_skew_us"; next }
         { printf "%d,0,100,300,%.6f\n%d,64,100,300,%.6f\n%d,64,100,,\n", $1, 1.25 * (100 + 200 * $2 / 1000), $1,
                  1.25 * (100 + 200 * $3 / 1000), $1 }' $profile/shares.csv >"$work/l/skew.csv"
$python analysis/plot_calibration.py - "$name=$work/l" >"$work/out" 2>&1 || { cat "$work/out"; fail "layers"; }
count() { awk 'END { print NR - 1 }' "$1"; }
while read -r points table; do
    grep -q "^$name, $table: $points points, mean |error| 20.00 %$" "$work/out" ||
        { cat "$work/out"; fail "$table: expected $points points, each 20 % off"; }
done <<EOF
$(count $profile/dense.csv) dense layer without attention
$(count $profile/experts.csv) experts of a layer
$(count $profile/head.csv) head and sampler
$(count $profile/prefill.csv) attention of prompts, one layer
$(count $profile/decode.csv) attention of decodes, one layer
$(awk -F, 'NR > 1 && $1 > 0 && $3 > 0' "$work/l/attention.csv" | wc -l) decodes beside a chunk, one layer
$(count $profile/shares.csv) decodes of two lengths
$(count $profile/shares.csv) decodes of two lengths beside a chunk
EOF
[ "$(wc -l <"$work/out")" = 8 ] || fail "tables of layers"

refused() {
    $python analysis/plot_calibration.py "$work/q.html" "$1" >"$work/out" 2>&1 && fail "$1: taken"
    grep -q "$2" "$work/out" && ! grep -q Traceback "$work/out" && [ ! -e "$work/q.html" ] ||
        { cat "$work/out"; fail "$1: expected $2"; }
}
refused "l40s" "expected PROFILE=TABLES"
refused "l40s=$work" "no table of l40s"
refused "no-such-gpu=$work/t" "no-such-gpu"
sed -i 's/^bf16,16,1024/bf16,x,1024/' "$work/t/gemm.csv"
refused "l40s=$work/t" "csv:54"
rm "$work/l/skew.csv"
refused "$name=$work/l" "$work/l: no table skew"

# Real tables, where they lie: errors of the fit are no larger than those that calib info tells of points held out.
real=$shared/groundtruth/profiles/vllm-0.19/RTXPRO6000/Qwen3-30B-A3B-Instruct-2507/bf16/tp1
if [ ! -e "$real" ]; then
    echo "not compared with real tables: $real is absent"
    exit $failed
fi
$python analysis/plot_calibration.py - "$name=$real" >"$work/out" 2>&1 || { cat "$work/out"; fail "real"; }
"$KVSIM" calib info $name | cat - "$work/out" | awk '
    $4 == "%" { held[$1] = $3 }
    !/points, mean .error./ { next }
    { sub(/^[^,]*, /, ""); print; part = "" }
    /^dense/ || /^head/ { part = $1 }
    /of prompts/ { part = "prefill" }
    /of decodes/ { part = "decode" }
    /beside/ { part = "mixed" }
    /lengths/ { part = "shares" }
    part { seen++; if ($(NF - 1) > 1.1 * held[part]) { print "FAIL: past " held[part] " %"; bad = 1 } }
    END { exit bad || seen != 7 }' || fail "errors of real tables"
exit $failed
