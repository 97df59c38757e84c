# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --memory-limit 1KiB -o $T/a.h5 2>&1 | sed "s/memory: [0-9.]* MiB/memory: N MiB/"
code=${PIPESTATUS[0]}
ls $T
exit $code
