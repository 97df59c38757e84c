# SPDX-License-Identifier: Apache-2.0
printf "%s\n" "{\"timestamp\": 0, \"input_length\": -3, \"output_length\": 5, \"hash_ids\": [1]}" >$T/t.jsonl
kvsim run tests/cli/small.yaml --set workload.trace=$T/t.jsonl -o $T/a.h5
code=$?
ls $T
exit $code
