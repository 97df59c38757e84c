# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --set workload.trace=nothing/here.jsonl -o $T/a.h5
code=$?
ls $T
exit $code
