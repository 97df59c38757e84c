# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --set engine.max_num_seq=8 --json-errors 2>&1 | python3 -c "
import json, sys
for line in sys.stdin: print(sorted(json.loads(line).items()))"
kvsim run tests/cli/small.yaml --set workload.trace=nothing/here.jsonl --json-errors 2>&1 | python3 -m json.tool
exit ${PIPESTATUS[0]}
