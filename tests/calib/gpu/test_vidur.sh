#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `calib import vidur` over tables made here by a formula: shapes of one GPU's share, ms as us, repeated rows merged,
# small operators and all-reduces to the digit; attention lent by another profile; and wrong tables.
. "$(dirname "$0")/../../support/shell.sh"

# One model on an A40: products take what 100 TFLOP/s or 400 GB/s allow and 3 us, small operators 2 us and 500 GB/s.
# Short names of columns, or (second argument) Vidur's own. Rows come twice, then 2 us longer: medians are 1 us more.
make_tables() {
    mkdir -p "$1/one"
    awk -v own="${2:-0}" '
        function us(flops, bytes) { t = flops / 1e8; if (bytes / 4e5 > t) t = bytes / 4e5; return 3 + t }
        function product(m, n, k) { return us(2 * m * n * k, 2 * (m * k + n * k + m * n)) }
        function small(bytes) { return 2 + bytes / 5e5 }
        function row(m, tp, more) {
            printf "%d,%d,16,8,2048,4096,32000,%s", m, tp, own ? "True" : 1
            printf ",0.5,%.7f", (small(4 * m * 2048) + more) / 1e3
            printf ",%.7f", (product(m, 4096 / tp, 2048) + more) / 1e3
            printf ",%.7f", (small(4 * m * 3072 / tp) + more) / 1e3
            printf ",%.7f", (product(m, 2048, 2048 / tp) + more) / 1e3
            printf ",0.5,%.7f", (product(m, 8192 / tp, 2048) + more) / 1e3
            printf ",%.7f", (small(6 * m * 4096 / tp) + more) / 1e3
            printf ",%.7f,0.5\n", (product(m, 2048, 4096 / tp) + more) / 1e3
        }
        BEGIN {
            if (own) {
                printf "num_tokens,num_tensor_parallel_workers,n_head,n_kv_head,n_embd,n_expanded_embd,vocab_size"
                printf ",use_gated_mlp"
                split("emb input_layernorm attn_pre_proj attn_rope attn_post_proj post_attention_layernorm" \
                      " mlp_up_proj mlp_act mlp_down_proj add", name, " ")
                for (i = 1; i <= 10; i++) printf ",time_stats.%s.median", name[i]
                print ""
            } else {
                printf "tokens,tp,n_head,n_kv_head,n_embd,n_ffn,vocab,gated,emb_ms,input_layernorm_ms,attn_pre_proj_ms"
                printf ",attn_rope_ms,attn_post_proj_ms,post_attention_layernorm_ms,mlp_up_proj_ms,mlp_act_ms"
                print ",mlp_down_proj_ms,add_ms"
            }
            for (m = 4096; m >= 1; m /= 2) for (tp = 1; tp <= 8; tp *= 2) { row(m, tp, 0); row(m, tp, 2) }
        }' >"$1/one/mlp.csv"
}
import() { "$KVSIM" calib import vidur "$1" -o "$2" --sms 84 --epochs 20 "${@:3}"; }
told=(--gpu a40 --attention l40s --source here --commit c0ffee --licence MIT)

make_tables "$work/v"
mkdir "$work/n"
{ echo gpus,bytes,devices_per_node,rank,median_ms,min_ms,max_ms,std_ms
  for gpus in 2 4; do for bytes in 2048 65536 2097152; do
      echo "$gpus,$bytes,$gpus,0,$(awk -v b=$bytes -v g=$gpus 'BEGIN { print 0.01 * g + b / 1e8 }'),0,0,0"
      echo "$gpus,$bytes,1,0,9,9,9,0"            # over the network: not taken
  done; done; } >"$work/n/all_reduce.csv"
import "$work/v" "$work/p" --all-reduce "$work/n" "${told[@]}" >"$work/out" 2>&1 ||
    { cat "$work/out"; fail "import"; exit 1; }
"$KVSIM" calib info "$work/p" >"$work/info" && cmp "$work/out" "$work/info" ||
    fail "import and info tell different things"
# 13 numbers of tokens, and of 4 products on 4 numbers of GPUs nine shapes: 2048 wide, of 4096 to 256 inputs; 512 to
# 8192 wide, of 2048.
grep -q '^gemm_bf16  *117 ' "$work/out" || { cat "$work/out"; fail "rows of products"; }
grep -q '^all_reduce  *4 knots, 2 to 4 GPUs' "$work/out" || { cat "$work/out"; fail "all-reduce"; }
for small in norm rotary activation; do
    grep -q "^$small  *3.00 us + bytes / 500 GB/s" "$work/out" || { cat "$work/out"; fail "$small: not its formula"; }
done
grep -q '^scatter  *3.00 us + bytes / 500 GB/s (not all measured)' "$work/out" || fail "scatter: not as rotary"
lent='^attention was not measured; it is that of l40s (.*Apache-2.0), roofs times 0.4135 (flops) and 0.8056 (bytes)'
grep -q "$lent" "$work/out" || { cat "$work/out"; fail "whose attention"; }
for line in 'origin: here' 'commit: c0ffee' 'licence: MIT' 'label: imported' 'gpu: a40'; do
    grep -qx "$line" "$work/p/profile.yaml" || fail "profile.yaml lacks '$line'"
done
awk -F, '$1 == 4 && $2 == 2097152 { seen = $3 > 60.9 && $3 < 61.1 } END { exit !seen }' \
    "$work/p/all_reduce.csv" || { cat "$work/p/all_reduce.csv"; fail "an all-reduce is not what was measured"; }

# A product of the share of one of two GPUs costs what its row says, 1 us more for the median of two.
printf 'dtype,m,n,k\nbf16,1024,4096,2048\n' >"$work/shape.csv"
"$KVSIM" calib predict "$work/p" "$work/shape.csv" -o "$work/pred.csv" || fail "predict"
awk -F, 'NR == 2 { want = (4 + 2 * 1024 * 4096 * 2048 / 1e8) / 1e3; e = $5 / want - 1
                   printf "one product: %.4f ms, expected %.4f\n", $5, want; exit e < -0.1 || e > 0.1 }' \
    "$work/pred.csv" || fail "the profile does not meet its rows"
# Vidur's own names of columns, in its folders of makers, make the same profile.
mkdir "$work/o"
make_tables "$work/o/maker" own
import "$work/o" "$work/q" --all-reduce "$work/n" "${told[@]}" >"$work/out" 2>&1 &&
    diff -r "$work/p" "$work/q" || { cat "$work/out"; fail "other names of columns make another profile"; }
"$KVSIM" calib check "$work/v" --gpu a40 --sms 84 --only gemm --epochs 20 --bar 25 >"$work/out" 2>&1 ||
    { cat "$work/out"; fail "check"; }
# Lent attention is the lender's at a time that the data sheets scale: at long contexts bytes decide.
printf 'kv_dtype,batch,kv_tokens,heads,kv_heads,head_dim,window\nbf16,64,16384,32,8,128,0\n' >"$work/shape.csv"
for p in l40s "$work/p"; do
    "$KVSIM" calib predict "$p" "$work/shape.csv" -o "$work/pred.csv" && tail -1 "$work/pred.csv" || fail "predict $p"
done | awk -F, '{ ms[NR] = $8 } END { printf "decodes: %.4f ms on the lender, %.4f\n", ms[1], ms[2]; r = ms[2] / ms[1]
                                      exit !(NR == 2 && r > 1.1 && r < 1.4) }' || fail "lent attention"

# Wrong input: file, row, reason; nothing is written.
refused() {
    local flags=("${@:2}")
    [ $# -gt 1 ] || flags=("${told[@]}")
    import "$work/w" "$work/r" "${flags[@]}" >"$work/out" 2>"$work/err" && fail "taken: $1"
    grep -q "$1" "$work/err" && [ ! -e "$work/r" ] || { cat "$work/err"; fail "expected: $1"; }
}
wrong() {
    rm -rf "$work/w" && cp -r "$work/v" "$work/w"
    sed -i "$2" "$work/w/one/mlp.csv"
    refused "$1"
}
wrong "mlp.csv:1: .*no column 'time_stats.mlp_act.median' or 'mlp_act_ms'" '1s/,mlp_act_ms//;s/,[^,]*$//'
wrong "mlp.csv:1: .*'mlp_act_us' is none of Vidur's; did you mean 'mlp_act_ms'" '1s/mlp_act_ms/mlp_act_us/'
wrong "mlp.csv:1: .*'colour' is none of Vidur's" '1s/$/,colour/;2,$s/$/,1/'
wrong "mlp.csv:4: .*17 columns, expected 18" '4s/,[^,]*$//'
wrong "mlp.csv:5: .*attn_pre_proj_ms: '-1'" '5s/^\(\([^,]*,\)\{10\}\)[^,]*/\1-1/'
wrong "mlp.csv:5: .*attn_pre_proj_ms: '0' is not a time" '5s/^\(\([^,]*,\)\{10\}\)[^,]*/\10/'
wrong "mlp.csv:3: .*tp: 0 is out of range" '3s/^4096,1/4096,0/'
wrong "mlp.csv:3: .*not divided by tp 3" '3s/^4096,1/4096,3/'
wrong "mlp.csv:6: .*tokens 'x' is not a whole number" '6s/^[0-9]*/x/'
wrong "mlp.csv:.*no rows" '2,$d'
wrong "mlp.csv:.*the file is empty" d
# The whole table in us, and in s.
for unit in 1000 0.001; do
    rm -rf "$work/w" && cp -r "$work/v" "$work/w"
    awk -F, -v OFS=, -v unit=$unit 'NR > 1 { for (i = 9; i <= NF; i++) $i = sprintf("%.9g", $i * unit) } { print }' \
        "$work/v/one/mlp.csv" >"$work/w/one/mlp.csv"
    refused "mlp.csv:[0-9]*: the fastest product takes .* times are expected in ms"
done
rm -rf "$work/w" && mkdir "$work/w"
refused "w: no MODEL/mlp.csv"
mkdir "$work/w/a100" && cp -r "$work/v/one" "$work/w/a100" && cp -r "$work/w/a100" "$work/w/a40"
refused "a40/one/mlp.csv: the same model as in .*a100/one/mlp.csv"
rm -rf "$work/w" && cp -r "$work/v" "$work/w"
refused "nowhere/all_reduce.csv" --gpu a40 --attention l40s --all-reduce "$work/nowhere"
refused "its attention is itself another's" --gpu a40 --attention "$work/p"
refused "no-such-gpu" --gpu no-such-gpu --attention l40s
refused "attention_decode are all needed; --attention PROFILE can lend" --gpu a40
refused "do not name their GPU" --attention l40s
# A table of all-reduces has its own columns and times.
sed 's/^4,2048,4,0,[^,]*/4,2048,4,0,-3/' "$work/n/all_reduce.csv" >"$work/w/all_reduce.csv"
refused "all_reduce.csv:8: median_ms: '-3'" --gpu a40 --attention l40s --all-reduce "$work/w"
exit $failed
