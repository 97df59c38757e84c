#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Vidur's published tables are taken, fits to four fifths of the products meet the others, and the shipped profile of
# the A40 prices what it was made of, those of A100 and H100 what docs/calibration.md says. With KVSIM_FULL=1 all three
# GPUs, and the import repeated byte for byte; else one GPU, in fewer passes.
. "$(dirname "$0")/../support/shell.sh"
tables=$shared/groundtruth/profiles/vidur network=$shared/groundtruth/network/vidur
needs "$tables"

# GPU FOLDER SMS ROWS MOST [FLAG...]: rows of products, and their mean error in percent where they were held out.
below() {
    "$KVSIM" calib check "$tables/$2" --gpu "$1" --sms "$3" --only gemm --holdout points "${@:6}" >"$work/out" ||
        { cat "$work/out"; fail "$1: check"; return; }
    awk -v name="$1" -v rows="$4" -v most="$5" '$2 == "points" {
             printf "%s: %d rows held out, mean error %.2f %%\n", name, $7, $3
             seen = $7 > 0.19 * rows && $7 < 0.21 * rows && $3 < most }
         END { exit !seen }' "$work/out" || fail "$1: rows or errors"
}
# GPU FOLDER SMS LENDER NAME [FLAG...]
import() {
    local source="microsoft/vidur, data/profiling/compute/$2"
    "$KVSIM" calib import vidur "$tables/$2" -o "$work/$5" --gpu "$1" --sms "$3" --attention "$4" \
        --source "$source" --commit 7d47513 --licence MIT "${@:6}" >"$work/out" 2>&1 ||
        { cat "$work/out"; fail "$1: import"; }
}
if [ "${KVSIM_FULL:-}" ]; then
    below a40 a40 84 17871 6.5
    below a100-sxm a100 108 26346 5
    below h100-sxm h100 132 17871 6.5
    import a40 a40 84 l40s a40
    diff -r "$work/a40" models/profiles/a40 || fail "a40 is not what import makes"
    import a100-sxm a100 108 a100-sxm a100 --all-reduce "$network/a100_dgx"
    grep '^all_reduce  *[0-9]* knots, 2 to 8 GPUs, up to 67108864 bytes' "$work/out" || fail "a100-sxm: all-reduce"
    # As docs/calibration.md says.
    "$KVSIM" calib diff a100-sxm "$work/a100" |
        grep 'times +4\.2 % (mean), 16\.4 % (mean of sizes), +101\.6 % at m 1024 n 1024 k 1024; 45 shapes' ||
        fail "a100-sxm: difference to the shipped profile"
elif [ "${FLAVOUR:-}" != san ]; then
    below a40 a40 84 17871 8 --epochs 8
fi
# FOLDER: the four products of a layer of all models, as calib predict takes them: one GPU's share, tokens x n of k.
products() {
    local table
    echo dtype,m,n,k,product,latency_ms
    for table in "$tables/$1"/*/mlp.csv.gz; do
        gzip -dc "$table" | awk -F, -v OFS=, '
            function row(n, k, product, ms) { print "bf16", $at["tokens"], n, k, product, $at[ms] }
            NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
            { tp = $at["tp"]; wide = $at["n_embd"]; inner = $at["n_ffn"] / tp; kv = $at["n_kv_head"] / tp
              row(($at["n_head"] / tp + 2 * (kv < 1 ? 1 : kv)) * wide / $at["n_head"], wide, "qkv", "attn_pre_proj_ms")
              row(wide, wide / tp, "output", "attn_post_proj_ms")
              row(($at["gated"] ? 2 : 1) * inner, wide, "up", "mlp_up_proj_ms")
              row(wide, inner, "down", "mlp_down_proj_ms") }'
    done
}
# PROFILE FOLDER: $work/pred.csv, what the shipped profile says of those
priced() {
    products "$2" >"$work/products.csv"
    "$KVSIM" calib predict "$1" "$work/products.csv" -o "$work/pred.csv" || fail "$1: predict"
}
priced a40 a40
awk -F, '$5 == "down" { e = $7 / $6 - 1; sum += e < 0 ? -e : e; bias += e; n++ }
     END { printf "a40, down products: %d rows, mean error %.1f %%, %+.1f %% all in all\n", n, 100 * sum / n,
                  100 * bias / n; exit !(n == 5481 && sum / n < 0.065 && bias / n < 0.02 && bias / n > -0.02) }' \
    "$work/pred.csv" || fail "the shipped profile does not price its rows"
# PROFILE FOLDER: its line by tokens in docs/calibration.md is what it says now.
documented() {
    local line
    priced "$1" "$2"
    line=$(awk -F, -v name="$1" '
        NR > 1 { for (band = 1; $2 > 4 ^ (band + 1) && band < 6; band++); bias[band] += $7 / $6 - 1; n[band]++ }
        END { printf "| %s, all in all |", name
              for (band = 1; band <= 6; band++)
                  printf n[band] ? " %+.1f |" : " |", 100 * bias[band] / (n[band] + !n[band]) }' \
        "$work/pred.csv")
    echo "$line"
    grep -qxF "$line" docs/calibration.md || fail "docs/calibration.md says something else"
}
documented a100-sxm a100
documented h100-sxm h100
# A model on it: Llama-2-7b reads its 13.5 GB of weights for each token, at 696 GB/s or somewhat less.
cat >"$work/run.yaml" <<EOF
kvsim: 1
name: a40
model: {use: llama-2-7b}
cluster: {nodes: {count: 1, gpus: 1, gpu: a40}, instances: {count: 1, tp: 1}}
compute: {kind: table, profile: auto}
tiers: [{name: hbm, kind: hbm, capacity: auto}]
workload: {trace: $work/t.jsonl, format: mooncake}
EOF
printf '{"input_length": 512, "output_length": 11, "timestamp": 0, "hash_ids": [1]}\n' >"$work/t.jsonl"
"$KVSIM" run "$work/run.yaml" -o "$work/r.h5" >"$work/table" 2>&1 || { cat "$work/table"; fail "run"; }
awk '$1 == "TPOT" { ms = $3 == "s" ? 1000 * $2 : $2; seen = ms > 19 && ms < 30
                     print "a40, one request: TPOT " ms " ms" }
     END { exit !seen }' "$work/table" || { cat "$work/table"; fail "TPOT"; }
exit $failed
