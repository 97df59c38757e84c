# SPDX-License-Identifier: Apache-2.0
kvsim run nothing/here.yaml
