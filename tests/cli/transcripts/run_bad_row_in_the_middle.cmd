# SPDX-License-Identifier: Apache-2.0
# Five good rows, then one that is not JSON: the run has begun, its file must not stay.
head -5 tests/cli/small.jsonl >$T/t.jsonl
echo "{\"timestamp\": 99" >>$T/t.jsonl
kvsim run tests/cli/small.yaml --set workload.trace=$T/t.jsonl -o $T/a.h5
code=$?
ls $T
exit $code
