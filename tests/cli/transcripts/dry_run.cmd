# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --dry-run -o $T/a.h5 | sed "s/[0-9.]* MiB of state/N MiB of state/"
ls $T
