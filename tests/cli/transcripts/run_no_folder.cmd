# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml -o $T/nowhere/a.h5
