# SPDX-License-Identifier: Apache-2.0
kvsim --version | head -1
kvsim version --json | python3 -c "import json, sys; print(sorted(json.load(sys.stdin)))"
