#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim export and plot as a user meets them: tables, trace, picture, and what they refuse.
. "$(dirname "$0")/../../support/shell.sh"
refuses() { # CODE WORDS COMMAND..
    local code=$1 words=$2; shift 2
    "$@" >"$work/out" 2>"$work/err"; local got=$?
    [ $got = "$code" ] || fail "$*: exit $got, not $code"
    grep -q -- "$words" "$work/err" || fail "$*: no '$words' in: $(cat "$work/err")"
}

run=$work/run.h5
"$KVSIM" run configs/quickstart.yaml -o "$run" --quiet || fail "run"

# Tables: a line a row, in every format, and the same numbers.
for table in requests timeseries tiers summary; do
    "$KVSIM" export "$run" csv $table >"$work/$table.csv" || fail "csv $table"
    "$KVSIM" export "$run" jsonl $table >"$work/$table.jsonl" || fail "jsonl $table"
    "$KVSIM" export "$run" json $table -o "$work/$table.json" || fail "json $table"
done
rows=$(($(wc -l <"$work/requests.csv") - 1))
[ "$rows" = "$(wc -l <"$work/requests.jsonl")" ] || fail "rows of requests differ"
head -1 "$work/requests.csv" | grep -q '^request_id,arrival_s,ttft_s,tpot_s,e2e_s,input_toks,output_toks,' ||
    fail "columns of requests"
awk -F, 'NR > 1 { if (NF != columns) bad++; if ($9 == "failed" && ($3 $5 != "")) bad++
                  if ($9 == "finished" && $5 + 0 <= 0) bad++ } NR == 1 { columns = NF } END { exit bad > 0 }' \
    "$work/requests.csv" || fail "cells of requests"
head -1 "$work/timeseries.csv" | tr , '\n' >"$work/columns"
for column in queue_depth running_seqs batch_tokens fetching_seqs tier_occupancy_hbm tier_hits_tokens_hbm \
              tier_evictions_hbm gpu_util_0; do
    grep -qx "$column" "$work/columns" || fail "no $column in timeseries"
done
"$KVSIM" run configs/quickstart.yaml -o "$work/bin.h5" --quiet --set output.timeseries=1000000s || fail "run, one bin"
"$KVSIM" export "$work/bin.h5" csv timeseries >"$work/bin.csv" || fail "csv of one bin"
[ "$(wc -l <"$work/bin.csv")" = 2 ] || fail "a run in one bin has $(($(wc -l <"$work/bin.csv") - 1))"
head -1 "$work/bin.csv" | cmp -s - <(head -1 "$work/timeseries.csv") || fail "one bin, and other columns"

# Pictures and their numbers.
for kind in tokens-by-source util waterfall overview; do
    "$KVSIM" plot "$run" $kind -o "$work/p.svg" --force || fail "plot $kind"
    grep -q '</svg>' "$work/p.svg" && ! grep -qw 'nan\|inf' "$work/p.svg" || fail "$kind: the picture is not whole"
    grep -q 'N = ' "$work/p.svg" && grep -q 'trace sha256 [0-9a-f]\{64\}' "$work/p.svg" || fail "$kind: no footer"
    grep -q 'compute: roofline' "$work/p.svg" || fail "$kind: no compute model in the footer"
    ! grep -q 'http[^"]*"' <(grep -v xmlns "$work/p.svg") || fail "$kind: the picture needs the network"
done
"$KVSIM" plot "$run" --csv | grep -q '^Latency,TTFT,' || fail "plot --csv"
"$KVSIM" plot "$run" --csv | grep -q '^Prompt tokens by source,hbm,' || fail "plot --csv, hits"
"$KVSIM" plot list | grep -q '^overview' || fail "plot list"

# What is refused, and with what words.
refuses 7 'force' "$KVSIM" plot "$run" -o "$work/p.svg"
refuses 2 'requests, timeseries' "$KVSIM" export "$run" csv nothing
refuses 2 'csv, json' "$KVSIM" export "$run" xml
refuses 2 'overview' "$KVSIM" plot "$run" pie
refuses 7 'No such file' "$KVSIM" export "$work/none.h5" csv
echo text >"$work/text.h5"
refuses 7 'HDF5' "$KVSIM" export "$work/text.h5" csv
head -c 20000 "$run" >"$work/cut.h5"
refuses 7 'HDF5' "$KVSIM" export "$work/cut.h5" csv
refuses 7 'No space\|cannot write' "$KVSIM" export "$run" csv -o /dev/full
refuses 7 '' "$KVSIM" plot "$work/text.h5" -o "$work/none.svg"
[ ! -e "$work/none.svg" ] && [ ! -e "$work/none.svg.tmp" ] || fail "a failed plot left a file"

# A trace that is no longer the one that was run.
cp tests/cli/small.yaml tests/cli/small.jsonl "$work"
"$KVSIM" run "$work/small.yaml" -o "$work/small.h5" --quiet || fail "run small"
"$KVSIM" export "$work/small.h5" trace -o "$work/small_trace.jsonl" || fail "export trace"
sed -i '$d' "$work/small.jsonl"
refuses 4 'not the trace' "$KVSIM" export "$work/small.h5" trace -o "$work/t.jsonl"
cp tests/cli/small.jsonl "$work" && echo >>"$work/small.jsonl"   # the same rows, other bytes
refuses 4 'sha256' "$KVSIM" export "$work/small.h5" trace -o "$work/t.jsonl"
[ ! -e "$work/t.jsonl" ] && [ ! -e "$work/t.jsonl.tmp" ] || fail "a failed export left a file"

# Disk full, seen from outside: exit 7, a clear word, nothing left.
(trap '' XFSZ; ulimit -f 100; "$KVSIM" run configs/quickstart.yaml -o "$work/full.h5" --quiet 2>"$work/err"
 echo $? >"$work/code")
[ "$(cat "$work/code")" = 7 ] || fail "a full disk gives $(cat "$work/code")"
grep -q 'File too large' "$work/err" || fail "a full disk says: $(cat "$work/err")"
[ ! -e "$work/full.h5" ] && [ ! -e "$work/full.h5.tmp" ] || fail "a full disk left a file"

# The comparison with real runs takes our table as it is.
truth=$shared/groundtruth
real=$truth/e2e/vllm-0.19/RTXPRO6000/Llama-3.1-8B/requests.jsonl
[ $failed = 0 ] || exit 1
[ -e "$real" ] || skip "$truth is not there: compare_requests.py was not run"
"$KVSIM" run configs/quickstart.yaml -o "$work/real.h5" --quiet --set cluster.nodes.gpu=rtx-pro-6000 \
    --set "workload={trace: $truth/e2e/workloads/sharegpt-llama-3.1-8b-300.jsonl.gz, prefix: trace, \
format: {kind: blocks, block_tokens: 16, partial: floor}}" --set cluster.instances.count=1 || fail "run on the real workload"
"$KVSIM" export "$work/real.h5" csv requests -o "$work/real.csv" || fail "export for the comparison"
/usr/bin/python3 "$truth/compare_requests.py" --real "$real" --sim "$work/real.csv" >"$work/compared" ||
    fail "compare_requests.py: $(tail -1 "$work/compared")"
grep -q '^300 requests' "$work/compared" || fail "not all requests were compared"
[ $failed = 0 ] || exit 1
echo "export and plot: $rows requests, four tables, a trace, four pictures"
