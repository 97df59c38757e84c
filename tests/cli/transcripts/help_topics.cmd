# SPDX-License-Identifier: Apache-2.0
kvsim help exit-codes
kvsim help units
kvsim help scenario
kvsim help metrics
