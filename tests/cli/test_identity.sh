#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Semantics 31. The same binary, scenario and trace file give the same file bytes. Other optimisation levels and
# other compressions of the input give the same content digest. A run that is exported as a trace and replayed gives
# the same requests.
. "$(dirname "$0")/../support/shell.sh"

same() { cmp "$1" "$2" || fail "$3"; }
digest() { h5dump -a /meta/content_sha256 "$1" | grep -o '[0-9a-f]\{64\}' || echo "no digest in $1"; }
run() { local program=$1 out=$2; shift 2; "$program" run "$@" -o "$out" --quiet || fail "$program run $*"; }
check_digest() { [ "$(digest "$1")" = "$(digest "$2")" ] || fail "$3: $(digest "$1") and $(digest "$2")"; }

scenarios=(tests/cli/small.yaml configs/quickstart.yaml configs/systems/objectcache/testbed.yaml)
for scenario in "${scenarios[@]}"; do
    name=$(basename "$scenario" .yaml)
    run "$KVSIM" "$work/$name.1.h5" "$scenario"
    sleep 1.1   # HDF5 would store times of creation, in whole seconds
    mkdir -p "$work/elsewhere"
    run "$KVSIM" "$work/elsewhere/other_$name.h5" "$scenario" --progress plain
    same "$work/$name.1.h5" "$work/elsewhere/other_$name.h5" "$scenario: two runs differ"
done

flavours="debug o3"
[ "${FLAVOUR:-}" = san ] && flavours=   # a sanitised program is no other optimisation level of what users run
for flavour in $flavours; do
    env -u MAKEFLAGS -u MAKELEVEL -u B make FLAVOUR=$flavour build/$flavour/kvsim >"$work/make" 2>&1 \
        || { cat "$work/make"; fail "build $flavour"; continue; }
    for scenario in "${scenarios[@]}"; do
        name=$(basename "$scenario" .yaml)
        run build/$flavour/kvsim "$work/$name.$flavour.h5" "$scenario"
        check_digest "$work/$name.1.h5" "$work/$name.$flavour.h5" "$scenario: release and $flavour"
    done
done

# The same names in two folders: gzip is told from the bytes, and no path is part of the content.
mkdir "$work/plain" "$work/gzip"
cp tests/cli/small.yaml tests/cli/small.jsonl "$work/plain"
cp tests/cli/small.yaml "$work/gzip"
gzip -9n <tests/cli/small.jsonl >"$work/gzip/small.jsonl"
run "$KVSIM" "$work/plain.h5" "$work/plain/small.yaml"
run "$KVSIM" "$work/gzip.h5" "$work/gzip/small.yaml"
check_digest "$work/plain.h5" "$work/gzip.h5" "plain and gzip"
# Run, export as a trace, replay: the same requests to the last digit.
for scenario in "${scenarios[@]}"; do
    name=$(basename "$scenario" .yaml)
    "$KVSIM" export "$work/$name.1.h5" trace -o "$work/$name.jsonl" || fail "export $name"
    run "$KVSIM" "$work/$name.replay.h5" "$scenario" --set "workload.trace=$work/$name.jsonl" \
        --set 'workload.format={kind: blocks, block_tokens: 16, partial: prefix}' --set workload.prefix=trace \
        --set workload.rate_scale=1
    for which in 1 replay; do
        "$KVSIM" export "$work/$name.$which.h5" csv requests >"$work/$name.$which.csv" || fail "export $name.$which"
    done
    same "$work/$name.1.csv" "$work/$name.replay.csv" "$scenario: run and replay differ"
    [ "$(wc -l <"$work/$name.1.csv")" -gt 12 ] || fail "$scenario: no requests in the export"
done

# Closed-loop and session runs replay open at the arrivals they had. Rows and sessions are numbered anew, by arrival.
by_arrival() { "$KVSIM" export "$1" csv requests | cut -d, -f2-10,15-25,27- | sort; }
replays() { # MODE ROWS FLAGS..
    local mode=$1 rows=$2; shift 2
    run "$KVSIM" "$work/live.h5" configs/quickstart.yaml --set "workload.replay=$mode" --force "$@"
    "$KVSIM" export "$work/live.h5" trace -o "$work/live.jsonl" --force || fail "export $mode"
    run "$KVSIM" "$work/again.h5" configs/quickstart.yaml --set "workload.trace=$work/live.jsonl" --force \
        --set 'workload.format={kind: blocks, block_tokens: 16, partial: prefix}' --set workload.prefix=trace \
        --set workload.rate_scale=1
    by_arrival "$work/live.h5" >"$work/live.csv"
    by_arrival "$work/again.h5" >"$work/again.csv"
    same "$work/live.csv" "$work/again.csv" "$mode $*: run and replay differ"
    [ "$(wc -l <"$work/live.csv")" = $((rows + 1)) ] || fail "$mode $*: $(wc -l <"$work/live.csv") lines"
}
# Sessions with sub-agents, crowded so that they meet.
agents=(--set workload.trace=traces/sample/claude_code_tiny.jsonl --set workload.prefix=trace
        --set 'workload.format={kind: claude_code, session_rate: 1req/s}')
for mode in '{mode: closed, clients: 200, think: {kind: exponential, mean: 2s}}' session \
    '{mode: closed, clients: 200, clients_take: session}'; do replays "$mode" 10000; done
for mode in open session '{mode: closed, clients: 2, clients_take: session, think: 3s}'; do
    replays "$mode" 26 "${agents[@]}"
done

[ "$(digest "$work/plain.h5")" != "$(digest "$work/quickstart.1.h5")" ] || fail "the digest does not see the content"

[ $failed = 0 ] && echo "identity: two runs, flavours ($flavours), gzip and plain, run and replay"
exit $failed
