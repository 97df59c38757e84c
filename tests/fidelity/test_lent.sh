#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How far attention that another GPU lends (calib import vidur --attention) is from that GPU's own, where both were
# measured: as docs/calibration.md says. With KVSIM_FULL=1 the whole table, else a pair that is near and one that is far.
. "$(dirname "$0")/../support/shell.sh"
tables=$shared/groundtruth/profiles/vidur/a40 ops=$shared/groundtruth/ops
needs "$tables"
needs "$ops"

# A seventh of the rows of a table of attention: bf16, heads of 128, no window.
rows() {
    gzip -dc "$1" | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; print; next }
        $at["attn_dtype"] $at["kv_dtype"] == "bfloat16bfloat16" && $at["head_dim"] == 128 && $at["window"] == 0 &&
            n++ % 7 == 0'
}
# PROFILE TABLE: number of rows, mean |error| and mean error in percent
errors() {
    rows "$2" >"$work/rows.csv"
    "$KVSIM" calib predict "$1" "$work/rows.csv" -o "$work/pred.csv" || fail "$1: predict"
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        { e = $at["pred_ms"] / $at["latency_ms"] - 1; sum += e < 0 ? -e : e; bias += e; n++ }
        END { printf "%d %.0f %+.0f\n", n, 100 * sum / n, 100 * bias / n }' "$work/pred.csv"
}
# GPU FOLDER SMS LENDER: a cell of the table, prompts / decodes. Products play no part: one pass does for them.
cell() {
    local n prompts decodes prompts_bias decodes_bias
    "$KVSIM" calib import vidur "$tables" -o "$work/$1-$4" --gpu "$1" --sms "$3" --attention "$4" --epochs 1 \
        >"$work/out" 2>&1 || { cat "$work/out"; fail "$1 by $4: import"; }
    read -r n prompts prompts_bias < <(errors "$work/$1-$4" "$ops/$2/attention_context.csv.gz")
    [ "$n" -gt 700 ] || fail "$1: $n rows of prompts"
    read -r n decodes decodes_bias < <(errors "$work/$1-$4" "$ops/$2/attention_generation.csv.gz")
    [ "$n" -gt 700 ] || fail "$1: $n rows of decodes"
    echo "$prompts / $decodes ($prompts_bias / $decodes_bias)"
}
# GPU FOLDER SMS LENDER: the cell stands in the line of the GPU, in the column of the lender.
documented() {
    local found written
    found=$(cell "$@")
    written=$(awk -F ' *[|] *' -v gpu="$1" -v lender="$4" '
        $2 == "attention of" { for (i = 3; i < NF; i++) { sub(/^lent by /, "", $i); at[$i] = i } }
        $2 == gpu && at[lender] { print $at[lender]; exit }' docs/calibration.md)
    echo "$1, attention lent by $4: $found"
    [ "$found" = "$written" ] || fail "$1 by $4: docs/calibration.md says $written"
}
documented a100-sxm a100_sxm 108 h100-sxm
documented l40s l40s 142 a100-sxm
if [ "${KVSIM_FULL:-}" ]; then
    documented a100-sxm a100_sxm 108 l40s
    documented a100-sxm a100_sxm 108 rtx-pro-6000
    documented l40s l40s 142 h100-sxm
    documented l40s l40s 142 rtx-pro-6000
    for lender in a100-sxm h100-sxm l40s; do documented rtx-pro-6000 rtx_pro_6000_server 188 $lender; done
fi
exit $failed
