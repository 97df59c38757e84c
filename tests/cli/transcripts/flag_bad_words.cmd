# SPDX-License-Identifier: Apache-2.0
kvsim run a.yaml --progress fast
kvsim run a.yaml --color sometimes
