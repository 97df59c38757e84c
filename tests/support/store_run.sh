# SPDX-License-Identifier: Apache-2.0
# A run through an object store whose profile is ./p; source it behind shell.sh.
#   store_run    writes $work/run.yaml and its trace
store_run() {
    cat >"$work/run.yaml" <<END
kvsim: 1
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: h100-sxm, nic: 100Gbps}}
tiers:
  - {name: hbm, kind: hbm, num_gpu_blocks: 64}
  - {name: s3, kind: object, capacity: unlimited, chunk_tokens: 64, store: {profile: ./p}, write: through}
network: {links: {fabric: {kind: fair, bandwidth: 100Gbps}}}
workload: {trace: rows.jsonl, format: {kind: blocks, block_tokens: 16}}
END
    for i in 0 1 2; do
        echo "{\"arrival_s\": $((5 * i)), \"input_toks\": 640, \"output_toks\": 2}"
    done >"$work/rows.jsonl"
}
