#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sweep.sh SCENARIO [--set KEY=VALUE].. KEY VALUE..: one run a value, as many at a time as there are cores; results in sweep/KEY_VALUE.h5.
# Runs are independent processes, so a value's result does not depend on the others.
#   analysis/sweep.sh configs/quickstart.yaml workload.rate_scale 50 100 200 400
#   analysis/sweep.sh configs/quickstart.yaml --set engine.max_num_seqs=8 workload.rate_scale 50 100 200 400
set -eu
[ $# -ge 3 ] || { sed -n 's/^# //p' "$0" | tail -n +2; exit 2; }
scenario=$1 always=()
shift
while [ "$1" = --set ]; do
    always+=(--set "$2")
    shift 2
done
key=$1
shift
program=${KVSIM:-./kvsim}
mkdir -p sweep
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} "$program" run "$scenario" "${always[@]}" --set "$key={}" -o "sweep/${key}_{}.h5" --force --quiet
for value in "$@"; do
    printf '%s=%s ' "$key" "$value"
    "$program" export "sweep/${key}_$value.h5" csv summary |
        awk -F, '$1 ~ /^(ttft.p50|ttft.p99|tpot.p50|slo_attainment|hit_ratio_token)$/ { printf "%s=%.4g ", $1, $2 } END { print "" }'
done
