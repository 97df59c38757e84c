#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CPU seconds (median of 5 runs, user + system), peak memory, requests per second, the ratio to gunzip + line count
# of the same trace measured here and now, and callgrind instructions per request (marginal: between a short and a
# longer run, so start-up cancels), beside the goals. Configurations: configs/bench. Of scenarios with tiers also what
# the run did, which fails the bench where it is not what the scenario is for.
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

# What a run with tiers did, from $work/json: hits of 0.3 to 0.6 by token, a load for at least a fifth of the requests,
# evictions in every tier.
check_tiers() {   # name requests
    tr '{,' '\n\n' <"$work/json" | awk -v name="$1" -v requests="$2" -F'[:}]' '
        { gsub(/[ "\]]/, "", $1) }
        $1 == "hit_ratio_token" && ratio == "" { ratio = $2 }
        $1 == "fetches" { loads = $2 }
        $1 == "evicted_chunks" { evicted = evicted " " $2; if ($2 == 0) bad = 1 }
        END {
            bad = bad || ratio < 0.3 || ratio > 0.6 || loads < requests / 5 || evicted == ""
            printf "  %s: hit ratio %.3f by token, %d loads (%.3f a request), evicted by tier%s%s\n", name, ratio,
                loads, loads / requests, evicted, bad ? ": NOT what it is for" : ""
            exit bad
        }'
}

bench() {   # name trace requests goal
    local name=$1 trace=$2 requests=$3 goal=$4 run seconds peak base ratio="-" per_request="-" many
    for ((run = 0; run < RUNS; run++)); do
        cpu "'$KVSIM' run 'configs/bench/$name.yaml' --set 'workload.trace=$trace' --progress none --json \
            >'$work/json' 2>'$work/err.$run'" >>"$work/$name.cpu"
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
    awk "BEGIN { printf \"%-22s %9d %9.3f %-14s %8.0f %12.0f %10s %13s\n\", \"$name\", $requests, $seconds, \"$goal\",
                 $peak * 1.048576, $requests / $seconds, \"$ratio\", \"$per_request\" }"
    case $name in *_tiers) check_tiers $name $requests ;; esac
}

printf '%-22s %9s %9s %-14s %8s %12s %10s %13s\n' scenario requests 'CPU s' goal 'peak MB' 'requests/s' \
       'x gunzip' 'instr/request'
all="conversation_512 conversation_16 conversation_512_tiers burst_1m burst_1m_tiers"
for name in "${@:-$all}"; do for name in $name; do
    case $name in
    conversation_*)
        trace=$shared/traces/mooncake/conversation_trace.jsonl.gz
        [ -r "$trace" ] || { echo "SKIP: $name: $trace is not there (set KVSIM_SHARED)"; continue; }
        case $name in
        conversation_16) goal='2 s' ;;
        conversation_512_tiers) goal='0.6 s, 150 MB' ;;
        *) goal='0.3 s, 100 MB' ;;
        esac
        bench $name "$trace" 12031 "$goal" ;;
    burst_1m | burst_1m_tiers)
        trace=build/bench/burst_1m.csv.gz
        if [ ! -r $trace ]; then
            mkdir -p build/bench
            "$KVSIM" trace gen --rows 1000000 --seed 1 -o $trace >/dev/null
        fi
        goal='1 s'; [ $name = burst_1m_tiers ] && goal='3 s'
        bench $name $trace 1000000 "$goal" ;;
    *) echo "no such scenario: $name"; exit 2 ;;
    esac
done; done
