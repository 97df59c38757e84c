#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Vidur's published tables are taken, fits to four fifths of the products meet the others, and the shipped profile of
# the A40 prices what it was made of. With KVSIM_FULL=1 all three GPUs, and the import repeated byte for byte; else one
# GPU, in fewer passes.
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
elif [ "${FLAVOUR:-}" != san ]; then
    below a40 a40 84 17871 8 --epochs 8
fi
# Down products of all models, as the tables have them: tokens x n_ffn / tp to n_embd.
{ echo dtype,m,n,k,latency_ms
  for table in "$tables"/a40/*/mlp.csv.gz; do
      gzip -dc "$table" | awk -F, -v OFS=, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
          { print "bf16", $at["tokens"], $at["n_embd"], $at["n_ffn"] / $at["tp"], $at["mlp_down_proj_ms"] }'
  done; } >"$work/down.csv"
"$KVSIM" calib predict a40 "$work/down.csv" -o "$work/pred.csv" || fail "predict"
awk -F, 'NR > 1 { e = $6 / $5 - 1; sum += e < 0 ? -e : e; bias += e; n++ }
     END { printf "a40, down products: %d rows, mean error %.1f %%, %+.1f %% all in all\n", n, 100 * sum / n,
                  100 * bias / n; exit !(n == 5481 && sum / n < 0.065 && bias / n < 0.02 && bias / n > -0.02) }' \
    "$work/pred.csv" || fail "the shipped profile does not price its rows"
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
