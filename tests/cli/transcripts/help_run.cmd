# SPDX-License-Identifier: Apache-2.0
kvsim help run
kvsim run --help | cmp - <(kvsim help run) && echo the same
