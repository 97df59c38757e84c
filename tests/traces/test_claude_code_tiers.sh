#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Conservation (design.md 6) on every request of a real trace: 30,382 calls of Claude Code, prompts to 880,502 tokens,
# through four tiers, from the results file, by h5py.
. "$(dirname "$0")/../support/shell.sh"
trace=$shared/traces/agentic/claude_code_sessions.jsonl.gz
python=/usr/bin/python3
needs "$trace"
$python -c 'import h5py' 2>/dev/null || skip "$python has no h5py (package python3-h5py)"
part="" expected="30382 18"
[ "${FLAVOUR:-}" = san ] && part="--set workload.limit=3000" expected=3000   # a sanitised program takes its time
"$KVSIM" run configs/bench/claude_code_four_tiers.yaml --set "workload.trace=$trace" $part -o "$work/r.h5" \
    --quiet --progress none 2>"$work/err" || { cat "$work/err"; echo "FAIL: exit code"; exit 1; }
$python tests/analysis/check_results.py "$work/r.h5" || { echo "FAIL: check_results"; exit 1; }
$python tests/analysis/check_conservation.py "$work/r.h5" $expected || { echo "FAIL: check_conservation"; exit 1; }
