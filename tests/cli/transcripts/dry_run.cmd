# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --dry-run -o $T/a.h5
ls $T
