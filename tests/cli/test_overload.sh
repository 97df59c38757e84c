#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Links asked for more than they carry, links that carry nothing, stores that do not answer: every run ends, and says
# why it was slow or could not go on (tests/cli/overload.yaml).
. "$(dirname "$0")/../support/shell.sh"
runs=0
fail() { echo "FAIL: $name: $*"; failed=1; }

awk 'BEGIN {
    row = "{\"timestamp\": %d, \"input_length\": 4608, \"output_length\": 5, \"hash_ids\": [%s%d]}\n"
    for (i = 0; i < 600; i++) {
        ids = ""
        for (k = 0; k < 8; k++) ids = ids (1 + i % 200 * 8 + k) ", "
        printf row, i < 200 ? i * 400 : 90000 + (i - 200) * 100, ids, 10000 + i
    }
}' >"$work/overload.jsonl"

# run NAME CODE SETTING...: the table in $work/out, messages in $work/err, results in $work/r.h5 and r.csv
run() {
    name=$1
    local code=$2 setting sets=()
    shift 2
    for setting; do sets+=(--set "$setting"); done
    runs=$((runs + 1))
    "$KVSIM" run tests/cli/overload.yaml --set "workload.trace=$work/overload.jsonl" "${sets[@]}" --progress none \
        -o "$work/r.h5" --force >"$work/table" 2>"$work/err"
    local got=$?
    [ $got = "$code" ] || { fail "exit code $got, not $code"; cat "$work/err"; }
    tr -s ' \n' ' ' <"$work/table" >"$work/out"     # the table wraps its lines
    "$KVSIM" export "$work/r.h5" csv requests >"$work/r.csv" || fail "no results"
    [ "$(wc -l <"$work/r.csv")" = 601 ] || fail "$(wc -l <"$work/r.csv") rows"
}
says() { grep -q -E -- "$1" "$work/out" || { fail "the table does not say '$1'"; cat "$work/table"; }; }
tells() { grep -q -E -- "$1" "$work/err" || { fail "no message '$1'"; cat "$work/err"; }; }
status() { h5dump -a /meta/status "$work/r.h5" | grep -q "$1" || fail "status is not $1"; }
# column NAME: its values of the last 400 requests
column() {
    awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
        NR > 201 { print $at }' "$work/r.csv"
}

run "a link that carries all" 0
says 'object 88.9 %, compute 11.1 %'
says 'load STABLE'

# Twice what it carries: of 10 requests a second it serves 5.
run "a link that carries half" 0 network.links.wan.bandwidth=2.684354560GB/s
says '600 finished, 0 rejected, 0 failed in the trace, 0 unfinished'
says 'limit link wan.0.in carries (99|100)\.[0-9] % of its rate'
slope=$(sed -n 's/.*load OVERLOADED.*the backlog grew by \([0-9.]*\) requests\/s.*/\1/p' "$work/out")
awk -v slope="${slope:-0}" 'BEGIN { exit !(slope > 4 && slope < 7) }' || fail "backlog slope '$slope', not about 5"
says 'object 88.9 %'                                  # it waits for every one of them

# In bulk nobody joins a step before all is there, so nobody waits longer.
run "a link that carries half, and patience of 500 ms" 0 network.links.wan.bandwidth=2.684354560GB/s fetch.mode=bulk \
    'fetch.policy={kind: timeout, base: 500ms, per_ki_token: 0s}'
says '600 finished'
says 'loads [0-9]*; [1-9][0-9]* cut short by the policy'
[ "$(column fetch_stall_s | awk '$1 > 0.5' | wc -l)" = 0 ] || fail "waits longer than it has patience"

# Nothing that is written over a dead link is ever there to be read.
run "a dead link" 0 network.links.wan.bandwidth=0bps
says 'object 0.0 %, compute 100.0 %'
says 'link wan.0.out moves nothing since'
run "a dead link and timeouts" 0 network.links.wan.bandwidth=0bps fetch.policy=timeout
says '600 finished'
says 'object 0.0 %, compute 100.0 %'
status complete

# Writes that block keep the GPU memory that they are made from.
run "a dead link and writes that block" 8 network.links.wan.bandwidth=0bps 'tiers[1].write_blocking=true' \
    'tiers[0].num_gpu_blocks=100'
tells '^kvsim: stuck at 129.*on link wan\.0\.out \(0 B/s\) 33 flows wait since .*partial results are in '
says '33 finished, 0 rejected, 0 failed in the trace, 567 unfinished'
status stuck

run "a hand-over over a dead fabric" 8 'tiers=[{name: hbm, kind: hbm, num_gpu_blocks: 300}]' 'fetch={}' \
    'network={links: {fabric: {kind: fair, bandwidth: 0bps}}}' disaggregation.prefill_instances=1
tells '^kvsim: stuck at .* 33 for their KV; on link fabric\.0\.in \(0 B/s\) 33 flows wait since '
says '0 finished, 0 rejected, 0 failed in the trace, 600 unfinished'
status stuck

# Rows a hundred times further apart, so that what was written is there: each load then takes its 1,000 s and a trifle.
run "a store that answers after 1000 s" 0 'tiers[1].store={first_byte: 1000s}' workload.rate_scale=0.01
says '600 finished'
says 'loads 400; 0 cut short'
[ "$(column fetch_stall_s | awk '$1 >= 1000 && $1 < 1001' | wc -l)" = 400 ] || fail "not all waited 1000 s"
run "a store that answers after 1000 s, and timeouts" 0 'tiers[1].store={first_byte: 1000s}' workload.rate_scale=0.01 \
    fetch.policy=timeout
says 'loads 400; 400 cut short by the policy'
says 'object 0.0 %, compute 100.0 %'
[ "$(column fetch_stall_s | grep -c '^2\.400000000000$')" = 400 ] || fail "not all waited 2 s + 100 ms/Ki token"

run "a store with one turn" 0 'tiers[1].store={concurrency_limit: 1}' network.links.wan.bandwidth=5GB/s
says '600 finished'
says 'tier object lets 100.0 % of its accesses wait for their turn'
run "one turn, one chunk at a time" 0 'tiers[1].store={concurrency_limit: 1}' fetch.mode=chunkwise fetch.concurrency=1
says '600 finished'
says 'object 88.9 %'

[ $failed = 0 ] && echo "$runs overloads and faults: all end and say why"
exit $failed
