# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --seed 7 --dry-run | head -1
kvsim run tests/cli/small.yaml --set seed=7 --dry-run | head -1
