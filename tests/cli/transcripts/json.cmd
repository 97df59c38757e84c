# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --json --quiet | python3 -c "
import json, sys
o = json.load(sys.stdin)
print(sorted(o[\"host\"]))
print(sorted(k for k in o if k != \"host\"))"
