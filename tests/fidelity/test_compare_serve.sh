#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The comparison of real serving with kvsim, where a clock stands for the GPU: what is served then is what is simulated.
. "$(dirname "$0")/../support/shell.sh"
export KVSIM PYTHON=${PYTHON:-/usr/bin/python3}
[ -x "$PYTHON" ] || skip "$PYTHON is absent"

tests/fidelity/compare_serve.sh "$work/c" --device clock --host-overhead 0us >"$work/table" 2>"$work/err" ||
    fail "compare: $(cat "$work/err")"
! grep -q "error\|warning" "$work/err" || fail "said: $(cat "$work/err")"
[ "$(grep -c '[+-]0\.00$' "$work/table")" -ge 18 ] || fail "not all alike: $(cat "$work/table")"
! grep '[+-][0-9.]*$' "$work/table" | grep -qv '[+-]0\.00$' || fail "not all alike: $(cat "$work/table")"
awk '/^layerwise saves/ { n++; if ($(NF) + 0 <= 5 || $(NF) != $(NF - 1)) bad = 1 } END { exit bad || n != 2 }' \
    "$work/table" || fail "layerwise saves nothing: $(cat "$work/table")"

# A cut model; and a host that takes 1 ms for a step, which only the simulator knows of: it must show.
tests/fidelity/compare_serve.sh "$work/c" --device clock --host-overhead 1ms --layers 4 --model llama-3.2-1b \
    >"$work/table" 2>"$work/err" || fail "compare: $(cat "$work/err")"
awk '/^TPOT mean/ && $4 - $3 > 0.9 && $4 - $3 < 2 { seen = 1 } END { exit !seen }' "$work/table" ||
    fail "a slow host does not show: $(cat "$work/table")"

# Runs that were recorded on a real GPU, simulated with the profile that was measured on it. What docs/calibration.md
# says of them, and some: a change of the prices must show here.
tests/fidelity/compare_serve.sh "$work/h200" --profile models/profiles/h200-sxm_kvsim --copies 53GB/s \
    --recorded calib/runs/h200-sxm >"$work/table" 2>"$work/err" || fail "recorded: $(cat "$work/err")"
awk '/^(TTFT|TPOT|E2E) mean/ { n++; if ($NF < -6 || $NF > 6) bad = 1 }
     /^(layerwise|chunkwise|recompute) / && NF == 4 { n++; if ($NF < -7 || $NF > 7) bad = 1 }
     /^layerwise saves/ { n++; d = $(NF) - $(NF - 1); if (d < -1.5 || d > 1.5) bad = 1 }
     END { exit bad || n != 8 }' "$work/table" || fail "recorded runs: $(cat "$work/table")"

# What the two do not have in common, and a folder that is none.
sed -i '3d' "$work/c/online/requests.csv"
"$PYTHON" analysis/compare_serve.py "$work/c" >"$work/table"
[ $? = 1 ] && grep -q "^online: 1 requests were served and not simulated" "$work/table" || fail "a lone request"
"$PYTHON" analysis/compare_serve.py "$work/none" >"$work/table" 2>"$work/err"
[ $? = 2 ] && grep -q "No such file" "$work/err" || fail "no folder: $(cat "$work/err")"
tests/fidelity/compare_serve.sh >"$work/out" 2>&1
[ $? = 2 ] && grep -q "compare_serve.sh FOLDER" "$work/out" || fail "no usage: $(cat "$work/out")"
[ $failed = 0 ] || exit 1
echo "compare_serve: ok"
