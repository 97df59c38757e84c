#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim calib: import of small tables made here, wrong ones, and a run with the profile that comes out.
. "$(dirname "$0")/../support/shell.sh"

# Tables of a GPU whose times are known: dense 100 us a layer and 1 us a token, head 200 us and 10 us a sequence,
# attention 10 us and 0.01 us a KV token and sequence (decode), 0.1 us a new token (prefill); both added up.
make_tables() {
    mkdir -p "$1/tp1"
    printf 'hardware: RTXPRO6000\nmodel: meta-llama/Llama-3.1-8B\nvllm_version: 0.0.1\nprofiled_at: 2020-01-02T00:00\n' \
        >"$1/meta.yaml"
    awk -v out="$1/tp1" 'BEGIN {
        f = out "/dense.csv"; print "layer,tokens,time_us" >f
        for (n = 1; n <= 1024; n *= 2) { print "qkv_proj," n "," 100 + n >f; print "embedding," n ",5" >f }
        f = out "/per_sequence.csv"; print "layer,sequences,time_us" >f
        for (n = 1; n <= 64; n *= 2) { print "lm_head," n "," 150 + 10 * n >f; print "sampler," n ",50" >f }
        f = out "/attention.csv"; print "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us" >f
        for (p = 0; p <= 1024; p = p ? p * 4 : 16) for (k = 0; k <= (p ? 4096 : 0); k = k ? k * 4 : 64)
            for (n = 0; n <= 64; n = n ? n * 2 : 1) for (d = n ? 64 : 0; d <= (n ? 4096 : 0); d = d ? d * 4 : 1)
                if (p + n) print p "," k "," n "," d "," 10 + 0.1 * p + 0.001 * k + 0.01 * n * d >f
        f = out "/skew.csv"; print "n,pc,t_mean_us,t_max_us,t_skew_us" >f
        for (n = 2; n <= 64; n *= 2) for (i = 1; i <= 20; i++) { print n ",0,100,200,120" >f; print n ",64,100,200,150" >f }
    }'
}

make_tables "$work/t"
"$KVSIM" calib import vllm-layers "$work/t/tp1" -o "$work/p" --source here --licence none >"$work/out" 2>&1 ||
    { cat "$work/out"; fail "import"; }
"$KVSIM" calib info "$work/p" >"$work/info" || fail "info"
cmp "$work/out" "$work/info" || fail "import and info tell different things"
# What is straight is met by few knots, but for the ns of rounding; lengths by their shares.
awk '/^(dense|head|prefill|decode|mixed|shares) / && $3 > 0.5 { print; bad = 1 } /^dense/ && $2 > 4 { print; bad = 1 }
     END { exit bad }' "$work/out" || fail "a straight line was not met"
grep -qx '8,200,500,[0-9]*' "$work/p/shares.csv" || fail "shares: $(cat "$work/p/shares.csv")"
# Shares are fitted to time, not to its logarithm: a long batch outweighs short ones.
make_tables "$work/l"
awk -F, 'NR == 1 || $1 == 8' "$work/l/tp1/skew.csv" >"$work/skew" && echo 8,0,10000,20000,14000 >>"$work/skew"
mv "$work/skew" "$work/l/tp1/skew.csv"
"$KVSIM" calib import vllm-layers "$work/l/tp1" -o "$work/long" --source here --licence none >/dev/null || fail "long"
grep -qx '8,400,500,[0-9]*' "$work/long/shares.csv" || fail "a long batch: $(cat "$work/long/shares.csv")"
gzip "$work"/t/tp1/*.csv
"$KVSIM" calib import vllm-layers "$work/t/tp1" -o "$work/z" --source here --licence none >/dev/null || fail "gzip"
diff -r "$work/p" "$work/z" || fail "compressed tables give another profile"

# A run with it: 32 layers of 100 + n us and so on; one request alone, 64 + 2 tokens.
cat >"$work/run.yaml" <<EOF
kvsim: 1
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: rtx-pro-6000}}
compute: {kind: table, profile: $work/p}
workload: {trace: $work/one.jsonl, format: {kind: blocks, block_tokens: 16}}
EOF
echo '{"arrival_s": 0, "input_toks": 64, "output_toks": 2}' >"$work/one.jsonl"
"$KVSIM" run "$work/run.yaml" -o "$work/r.h5" >/dev/null 2>"$work/err" || { cat "$work/err"; fail "run"; }
"$KVSIM" export "$work/r.h5" csv requests >"$work/r.csv"
# ttft_is US: of the one request.
ttft_is() {
    awk -F, -v want="$1" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
         { got = $at["ttft_s"] * 1e6
           if (got / want > 1.001 || got / want < 0.999) { print "ttft " got ", expected " want; exit 1 } }' "$work/r.csv"
}
ttft_is "$((32 * 180 + 5 + 210 + 13))" || fail "a prefill is not priced by its tables"   # 32 * 180.4

# Tables of two GPUs have no communication: 64 tokens of 8 KiB twice a layer, at 16 GB/s and 20 us.
mv "$work/t/tp1" "$work/t/tp2"
"$KVSIM" calib import vllm-layers "$work/t/tp2" --tp 2 -o "$work/p2" --source here --licence none >/dev/null || fail "tp 2"
sed "s|gpu: rtx-pro-6000}|gpu: rtx-pro-6000, peer: 16GB/s, peer_latency: 20us}, instances: {tp: 2}|; s|$work/p|$work/p2|" \
    "$work/run.yaml" >"$work/run2.yaml"
"$KVSIM" run "$work/run2.yaml" -o "$work/r2.h5" >/dev/null 2>"$work/err" || { cat "$work/err"; fail "run of tp 2"; }
"$KVSIM" export "$work/r2.h5" csv requests >"$work/r.csv"
ttft_is "$((32 * 180 + 5 + 210 + 13 + 32 * 2 * 20 + 32 * 2 * 32768 / 1000))" || fail "all-reduces are not priced"

# What is wrong is told with its place, and nothing is written.
wrong() {   # NAME CODE TEXT COMMAND...
    local name=$1 code=$2 text=$3
    shift 3
    "$KVSIM" "$@" >"$work/out" 2>"$work/err"
    [ $? = "$code" ] || fail "$name: exit code, expected $code"
    grep -qF -e "$text" "$work/err" || fail "$name: $(cat "$work/err")"
}
make_tables "$work/w"
wrong form 2 "'vidor'" calib import vidor "$work/w/tp1" -o "$work/q"
wrong no_output 2 "-o PROFILE" calib import vllm-layers "$work/w/tp1"
wrong no_folder 3 "meta.yaml" calib import vllm-layers "$work/nowhere/tp1" -o "$work/q"
sed -i 's/^lm_head,4,.*/lm_head,4,fast/' "$work/w/tp1/per_sequence.csv"
wrong number 3 "per_sequence.csv:6: time_us: 'fast'" calib import vllm-layers "$work/w/tp1" -o "$work/q"
sed -i 's/^lm_head,4,.*/lm_head,4,-3/' "$work/w/tp1/per_sequence.csv"
wrong negative 3 "per_sequence.csv:6: time_us: -3" calib import vllm-layers "$work/w/tp1" -o "$work/q"
sed -i '1s/time_us/time_ms/' "$work/w/tp1/dense.csv"
wrong unit 3 "dense.csv:1: no column 'time_us'" calib import vllm-layers "$work/w/tp1" -o "$work/q"
rm "$work/w/tp1/dense.csv"
wrong missing 7 "dense.csv" calib import vllm-layers "$work/w/tp1" -o "$work/q"
[ ! -e "$work/q" ] || fail "a profile was written of wrong tables"
wrong unknown 5 "no such profile" calib info nothing_of_that_name

# check of a GPU's profile: what was held out when it was fitted, against the bar.
for profile in rtx-pro-6000_llama-3.1-8b_tp1 h200-sxm_kvsim; do
    "$KVSIM" calib check "$profile" >"$work/out" 2>&1 || fail "check: $(cat "$work/out")"
    [ "$(grep -c ' %: good$' "$work/out")" -ge 4 ] || fail "check of $profile: $(cat "$work/out")"
    wrong bar 9 "tables are past the bar of 1 %" calib check "$profile" --bar 1
done
wrong which 2 "--holdout 'rows'; points and shapes can be held out" calib check calib/samples/h200-sxm --holdout rows
exit $failed
