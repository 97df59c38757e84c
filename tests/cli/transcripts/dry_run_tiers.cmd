# SPDX-License-Identifier: Apache-2.0
kvsim run configs/four_tiers.yaml --dry-run | sed "s/[0-9.]* MiB of state/N MiB of state/"
kvsim run configs/disaggregated_2p2d.yaml --dry-run | sed -n "/^hbm/,/^workload/p"
kvsim run configs/three_tiers.yaml --dry-run --json | python3 -c "import json, sys; print(json.dumps(json.load(sys.stdin)[\"tiers\"], indent=2))"
