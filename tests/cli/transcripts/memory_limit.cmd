# SPDX-License-Identifier: Apache-2.0
for limit in 256KiB 2MiB; do
    kvsim run configs/quickstart.yaml --memory-limit $limit -o $T/a.h5 2>&1 | sed "s/memory: [0-9.]* MiB/memory: N MiB/"
    echo ${PIPESTATUS[0]}
    ls $T
done
