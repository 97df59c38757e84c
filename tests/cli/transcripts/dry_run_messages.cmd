# SPDX-License-Identifier: Apache-2.0
kvsim run configs/remote_rdma.yaml --dry-run | grep "read alone"
kvsim run configs/remote_rdma.yaml --dry-run --set tiers[1].store.message_bytes=16KiB | grep "read alone"
kvsim run configs/remote_rdma.yaml --dry-run --set network.links.fabric.message_cost=0s | grep "read alone"
