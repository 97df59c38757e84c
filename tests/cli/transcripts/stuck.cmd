# SPDX-License-Identifier: Apache-2.0
# A fabric that carries nothing, and writes that are never dropped: at the end their blocks hold all memory.
kvsim run configs/three_tiers.yaml -o $T/a.h5 --set workload.rate_scale=300 --set workload.limit=1500 \
    --set workload.warmup=0s --set network.links.fabric.bandwidth=0bps --set 'tiers[2].write_blocking=true' \
    --set 'tiers[0]={name: hbm, kind: hbm, num_gpu_blocks: 400}' --set output.layers.sample=0 >$T/table
code=$?
grep '^three_tiers\|^limit' $T/table
h5dump -a /meta/status $T/a.h5 | grep -o '"stuck"'
kvsim export $T/a.h5 csv summary | grep '^requests.*fi'
exit $code
