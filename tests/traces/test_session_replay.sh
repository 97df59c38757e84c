#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sessions as a user replays them, on the samples: a turn comes when the one before has ended and the recorded pause is
# over, sub-agents when their parent's turn has ended, the parent's next turn when they have ended too; a client that
# takes sessions stays with one to its end. docs/engine.md, rules 24a, 25, 25a.
. "$(dirname "$0")/../support/shell.sh"

# run NAME FORMAT TRACE REPLAY FLAGS..: NAME.csv has session, arrival and end of each row of the trace, in its order.
run() {
    local name=$1 format=$2 trace=$3 replay=$4; shift 4
    "$KVSIM" run configs/quickstart.yaml -o "$work/$name.h5" --quiet --force --set "workload.trace=$trace" \
        --set "workload.format=$format" --set workload.prefix=auto --set "workload.replay=$replay" \
        --set workload.rate_scale=1 "$@" || fail "run $name"
    "$KVSIM" export "$work/$name.h5" csv requests | awk -F, '
        NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        { a = $column["arrival_s"]; e = $column["e2e_s"]
          printf "%d %d %.9f %.9f\n", $column["request_id"], $column["session"], a, a + (e == "" ? 0 : e) }' |
        sort -n | cut -d' ' -f2- >"$work/$name.csv"
}
# check NAME PROGRAM: awk with, for row k of session s, arrival A[s, k] and end F[s, k], and near(): within a microsecond,
# because ends are sums of seconds with 9 decimals and an arrival is at the next whole ns.
check() {
    awk "function near(what, a, b) { if (a < b - 1e-6 || a > b + 1e-6) { print what \": \" a \", not \" b; bad = 1 } }
         function max(a, b) { return a > b ? a : b }
         { k = n[\$1]++; A[\$1, k] = \$2; F[\$1, k] = \$3 } END { $2; exit bad }" "$work/$1.csv" || fail "$1"
}

agents=traces/sample/claude_code_tiny.jsonl
subagents='near("first sub-agent", A[2, 1], F[2, 0] + 0.25); near("second sub-agent", A[2, 2], F[2, 0] + 0.25);
    near("its second turn", A[2, 3], F[2, 1] + 5); near("the other one", A[2, 4], F[2, 2] + 10.5);
    near("main line", A[2, 5], max(F[2, 0] + 18.5, max(F[2, 3], F[2, 4]))); near("its third turn", A[2, 6], F[2, 5] + 18.5)'
run session claude_code $agents session
check session "$subagents; near(\"first session\", A[1, 0], 0); near(\"its second turn\", A[1, 1], F[1, 0] + 18.5)"

# So slow that the sub-agents end long after the parent's pause.
slow=(--set 'compute={kind: affine, decode_base: 200ms}')
run slow claude_code $agents session "${slow[@]}"
check slow "$subagents; if (!(max(F[2, 3], F[2, 4]) > F[2, 0] + 18.5)) { print \"the pause hides the sub-agents\"; bad = 1 }"

# One client: session after session, 3 s apart, in the order in which they begin.
run one claude_code $agents '{mode: closed, clients: 1, clients_take: session, think: 3s}'
check one "$subagents; for (s = 1; s <= 4; s++) { near(\"session \" s, A[s, 0], s == 1 ? 0 : end + 3)
    end = 0; for (k = 0; k < n[s]; k++) end = max(end, F[s, k]) }"

# Calls that overlapped follow at once, others after their tool's time, a call that failed ends when it comes.
run spans spans traces/sample/spans_tiny.jsonl session
check spans 'for (s = 1; s <= 3; s++) { near("start", A[s, 0], 2 * (s - 1)); near("tool", A[s, 1], F[s, 0] + 3)
    near("overlap", A[s, 2], F[s, 1]); near("tool", A[s, 3], F[s, 2] + 3); near("after", A[s, 4], F[s, 3] + 3) }'

# A real trace without think times: the recorded gap between two turns.
miniswe=$shared/traces/agentic/miniswe_blocks256B.jsonl.gz
if [ -e "$miniswe" ]; then
    run miniswe '{kind: blocks, block_tokens: 64}' "$miniswe" session
    [ "$(wc -l <"$work/miniswe.csv")" = 402 ] || fail "miniswe: $(wc -l <"$work/miniswe.csv") rows"
    check miniswe 'near("second turn of the first session", A[1, 1], F[1, 0] + 2.58678)'
else
    echo "$miniswe is absent: recorded gaps of a real trace were left out"
fi
[ $failed = 0 ] && echo "session replay: sub-agents, clients that take sessions, tool times"
exit $failed
