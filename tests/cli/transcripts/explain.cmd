# SPDX-License-Identifier: Apache-2.0
# Three tiers with little HBM, so that requests wait for their KV; against all of it in HBM.
run="configs/three_tiers.yaml -q --set workload.warmup=0s --set workload.limit=2000 --set workload.rate_scale=900"
kvsim run $run --set tiers[0].capacity=3GiB --set output.flows=all -o $T/a.h5 2>/dev/null
kvsim run $run --set output.layers.sample=0 -o $T/ref.h5 2>/dev/null
kvsim explain $T/a.h5 --against $T/ref.h5
kvsim explain $T/ref.h5 --request 0
kvsim export $T/a.h5 csv flows | head -2
kvsim export $T/a.h5 csv requests --against $T/ref.h5 | cut -d, -f1,3,35- | head -3
kvsim plot $T/a.h5 layers >$T/b.svg && grep -c "</svg>" $T/b.svg
kvsim explain $T/a.h5 --request 2000
echo $?
kvsim explain $T/a.h5 --percentile ttft.p99 | head -3
kvsim explain $T/a.h5 --percentile ttfd.p99
kvsim explain $T/a.h5 --request 1 --worst 1
kvsim plot $T/ref.h5 layers
kvsim export $T/ref.h5 csv flows
kvsim export $T/ref.h5 csv layers --against $T/a.h5
echo $?
