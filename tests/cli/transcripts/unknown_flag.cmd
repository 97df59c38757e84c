# SPDX-License-Identifier: Apache-2.0
kvsim run x.yaml --time-limt 1h
