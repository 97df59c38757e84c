# SPDX-License-Identifier: Apache-2.0
kvsim run a.yaml --time-limit 5
