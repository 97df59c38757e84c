# SPDX-License-Identifier: Apache-2.0
kvsim run a.yaml --seed 1 --seed 2
