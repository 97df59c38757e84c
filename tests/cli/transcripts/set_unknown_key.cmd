# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --set engine.max_num_seq=8 --set route.policy=round_robbin
