#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CPU seconds (median of 5 runs, user + system), peak memory, requests per second, the ratio to gunzip + line count
# of the same trace measured here and now, and callgrind instructions per request (marginal: between a short and a
# longer run, so start-up cancels), beside the goals. Configurations: configs/bench.
#   tests/bench/bench.sh [NAME...]       RUNS=5 CALLGRIND=1
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C
KVSIM=${KVSIM:-./kvsim}
RUNS=${RUNS:-5}
CALLGRIND=${CALLGRIND:-1}
shared=${KVSIM_SHARED:-../shared}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() { sort -g | awk '{ v[NR] = $1 } END { print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'; }

# CPU seconds of a pipeline.
cpu() { local TIMEFORMAT='%U %S'; { time bash -c "$1" >/dev/null 2>&1; } 2>&1 | awk '{ print $1 + $2 }'; }

# instructions of a run of the first $2 requests of scenario $1
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$KVSIM" run "configs/bench/$1.yaml" \
        --set "workload.trace=$3" --set "workload.limit=$2" --quiet 2>&1 | awk '/Collected/ { print $NF }'
}

bench() {   # name trace requests goal
    local name=$1 trace=$2 requests=$3 goal=$4 run seconds peak base ratio="-" per_request="-" many
    for ((run = 0; run < RUNS; run++)); do
        cpu "'$KVSIM' run 'configs/bench/$name.yaml' --set 'workload.trace=$trace' --progress none 2>'$work/err.$run'" \
            >>"$work/$name.cpu"
        grep -q ' MiB peak' "$work/err.$run" || { cat "$work/err.$run"; exit 1; }
    done
    seconds=$(median <"$work/$name.cpu")
    peak=$(sed -n 's/.* \([0-9.]*\) MiB peak.*/\1/p' "$work"/err.* | median)
    base=$(for run in 1 2 3 4 5; do cpu "gzip -dc '$trace' | wc -l"; done | median)
    ratio=$(awk "BEGIN { if ($base > 0.02) printf \"%.1f\", $seconds / $base; else print \"-\" }")
    if [ "$CALLGRIND" = 1 ] && command -v valgrind >/dev/null; then
        many=$((requests < 3000 ? requests : 3000))
        per_request=$(( ($(instructions "$name" $many "$trace") - $(instructions "$name" $((many / 3)) "$trace"))
                        / (many - many / 3) ))
    fi
    awk "BEGIN { printf \"%-18s %9d %9.3f %-14s %8.0f %12.0f %10s %13s\n\", \"$name\", $requests, $seconds, \"$goal\",
                 $peak * 1.048576, $requests / $seconds, \"$ratio\", \"$per_request\" }"
}

printf '%-18s %9s %9s %-14s %8s %12s %10s %13s\n' scenario requests 'CPU s' goal 'peak MB' 'requests/s' \
       'x gunzip' 'instr/request'
for name in "${@:-conversation_512 conversation_16 burst_1m}"; do for name in $name; do
    case $name in
    conversation_*)
        trace=$shared/traces/mooncake/conversation_trace.jsonl.gz
        [ -r "$trace" ] || { echo "SKIP: $name: $trace is not there (set KVSIM_SHARED)"; continue; }
        goal='0.3 s, 100 MB'; [ $name = conversation_16 ] && goal='2 s'
        bench $name "$trace" 12031 "$goal" ;;
    burst_1m)
        trace=build/bench/burst_1m.csv.gz
        if [ ! -r $trace ]; then
            mkdir -p build/bench
            "$KVSIM" trace gen --rows 1000000 --seed 1 -o $trace >/dev/null
        fi
        bench burst_1m $trace 1000000 '1 s' ;;
    *) echo "no such scenario: $name"; exit 2 ;;
    esac
done; done
