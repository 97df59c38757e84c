#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Samples that were recorded on a real GPU (calib/samples) through what a user's own would go: check, the profile that
# was made of them, and a run.
. "$(dirname "$0")/../../support/shell.sh"
samples=calib/samples/h200-sxm
profile=h200-sxm_kvsim

# A fit with fewer passes than the one that ships, to rows that it has not seen.
"$KVSIM" calib check $samples --only attention_decode --held points --epochs 150 --bar 6 >"$work/out" 2>&1 ||
    fail "check: $(cat "$work/out")"
cat "$work/out"

# What ships meets the samples that it was fitted to. The time is that column of the table.
# TABLE COLUMN BAR
meets() {
    "$KVSIM" calib predict $profile $samples/"$1".csv -o "$work/p.csv" || { fail "predict $1"; return; }
    awk -F, -v name="$1" -v t="$2" -v bar="$3" '
        NR > 1 { e = 1e3 * $NF / $t - 1; sum += e < 0 ? -e : e; n++ }
        END { printf "%s: %d rows, mean error %.2f %%\n", name, n, 100 * sum / n; exit !(n > 0 && 100 * sum / n < bar) }' \
        "$work/p.csv" || fail "$1: the profile that ships does not meet its samples"
}
meets gemm 5 5
meets attention_prefill 9 4
meets attention_decode 8 4

# Visits and samples are of the same run: medians of visits are the times.
rows=$(($(zcat $samples/visits.csv.gz | sed 1d | cut -d, -f1-9 | sort -u | wc -l)))
points=$(cat $samples/{gemm,attention_prefill,attention_decode,elementwise,copy,sm_share,two_layers}.csv | grep -vc time_us)
[ "$rows" = "$points" ] || fail "$rows points were visited, $points are in the tables"

# A fifth of the samples becomes a profile here, with a fit that is cut short, and a run is priced with either.
mkdir "$work/some"
for file in $samples/*.csv; do awk 'NR == 1 || NR % 5 == 0' "$file" >"$work/some/$(basename "$file")"; done
cp $samples/samples.yaml "$work/some"
"$KVSIM" calib import samples "$work/some" -o "$work/mine" --epochs 20 >"$work/out" 2>&1 || fail "import: $(cat "$work/out")"
for priced in $profile "$work/mine"; do
    "$KVSIM" run configs/serve/online.yaml --force -o "$work/r.h5" --set workload.limit=20 \
        --set cluster.nodes.gpu=h200-sxm --set "compute={kind: table, profile: $priced}" >"$work/out" 2>&1 ||
        fail "run: $(cat "$work/out")"
    awk '$1 == "TPOT" { print $1, $2, $3 } $1 == "TPOT" && $3 == "ms" && $2 > 4 && $2 < 6 { seen = 1 } END { exit !seen }' \
        "$work/out" || fail "$priced: TPOT is not that of an H200: $(cat "$work/out")"
done
exit $failed
