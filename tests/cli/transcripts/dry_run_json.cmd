# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --dry-run --json | python3 -m json.tool | grep -v memory_bytes
