#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Signals of a running simulation. The trace is a FIFO that is fed for as long as the run lasts, so nothing here
# depends on how fast the machine is.
. "$(dirname "$0")/../support/shell.sh"
feeder= pid=
trap '[ -z "$feeder" ] || kill $feeder 2>/dev/null; [ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT

# Starts kvsim ($pid) on an endless trace; stderr in $work/err.
start() {
    rm -f "$work"/*
    mkfifo "$work/trace"
    awk 'BEGIN {
        row = "{\"timestamp\": %d, \"input_length\": 700, \"output_length\": 20, \"hash_ids\": [0, %d]}\n"
        for (i = 0;; i++) printf row, i * 200, i + 1
    }' \
        >"$work/trace" 2>/dev/null &
    feeder=$!
    "$KVSIM" run tests/cli/small.yaml --set "workload.trace=$work/trace" -o "$work/a.h5" "$@" \
        >"$work/out" 2>"$work/err" &
    pid=$!
    for ((i = 0; i < 200; i++)); do [ -e "$work/a.h5.tmp" ] && return; sleep 0.05; done
    fail "the run did not start: $(cat "$work/err")"
}
finish() {
    wait $pid
    code=$?
    pid=
    kill $feeder 2>/dev/null
    wait $feeder 2>/dev/null
    feeder=
}

for signal in INT TERM; do
    start
    sleep 0.3
    kill -$signal $pid
    finish
    [ $code = 130 ] || fail "SIG$signal: exit code $code, not 130: $(cat "$work/err")"
    grep -q '^kvsim: interrupted at .* of simulated time; partial results are in ' "$work/err" \
        || fail "SIG$signal: no message"
    h5dump -a /meta/status "$work/a.h5" | grep -q interrupted || fail "SIG$signal: status in the file"
    h5dump -H "$work/a.h5" | grep -q 'GROUP "requests"' || fail "SIG$signal: no requests in the file"
    [ ! -e "$work/a.h5.tmp" ] || fail "SIG$signal: temporary file left"
    [ -s "$work/out" ] || fail "SIG$signal: no table"
done

start --progress bar
shown() { tr '\r' '\n' <"$work/err" | grep -c 'sim [0-9:]* | [0-9]* req | .* | q=[0-9]* | hbm [0-9]*%$'; }
for ((k = 0; k < 100; k++)); do [ "$(shown)" -ge 2 ] && break; sleep 0.05; done
[ "$(shown)" -ge 2 ] || fail "--progress bar: no line"
kill -INT $pid
finish

start --progress none
for i in 1 2; do
    kill -USR1 $pid
    for ((k = 0; k < 100; k++)); do [ "$(shown)" -ge $i ] && break; sleep 0.05; done
done
[ "$(shown)" = 2 ] || fail "SIGUSR1: $(shown) status lines, not 2"
# A second signal kills at once and still takes the temporary file away. The process stands still between the two,
# so that the first cannot have ended it already.
kill -STOP $pid
kill -INT $pid
kill -TERM $pid
kill -CONT $pid
finish
[ $code = 143 ] || [ $code = 130 ] || fail "two signals: exit code $code"
[ ! -e "$work/a.h5.tmp" ] || fail "two signals: temporary file left"
[ ! -e "$work/a.h5" ] || fail "two signals: results left"

[ $failed = 0 ] && echo "signals: INT, TERM, bar, USR1, twice"
exit $failed
