# SPDX-License-Identifier: Apache-2.0
kvsim validate configs/smallest.yaml tests/cli/small.yaml
kvsim config check tests/cli/small.yaml
