#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim calib serve without a GPU: what the loop and kvsim say of the same scenario, what is written, what is refused.
. "$(dirname "$0")/../../support/shell.sh"
serve=$(dirname "$KVSIM")/kvsim-calib-serve

# CODE TEXT ARGS...: refused with that code, and a message with TEXT.
refused() {
    local code=$1 text=$2
    shift 2
    timeout 60 "$serve" "$@" >"$work/out" 2>"$work/err" </dev/null
    local got=$?
    [ $got = "$code" ] || fail "$*: exit $got, not $code: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || fail "$*: '$(cat "$work/err")' has no '$text'"
    [ ! -s "$work/out" ] || fail "$*: something on stdout"
}
# FOLDER SCENARIO ARGS...: served by the clock, and simulated: the same TTFT, TPOT and E2E of each request, to 1 ns.
alike() {
    local folder=$work/$1 scenario=$2
    shift 2
    "$serve" "$scenario" -o "$folder" --device clock --quiet "$@" 2>"$work/err" || { fail "$folder: $(cat "$work/err")"; return; }
    "$KVSIM" run "$scenario" "${@/#--model=/--set=model.use=}" --quiet --force -o "$work/r.h5" 2>"$work/err" &&
        "$KVSIM" export "$work/r.h5" csv requests >"$work/sim.csv" 2>>"$work/err" || fail "run: $(cat "$work/err")"
    awk -F, -v served="$folder/requests.csv" '
        BEGIN { while ((getline line < served) > 0) { n = split(line, f, ","); if (f[1] != "request_id") real[f[1]] = line } }
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["status"] == "finished" {
            if (!($at["request_id"] in real)) { print "request " $at["request_id"] " was not served"; exit }
            split(real[$at["request_id"]], f, ",")
            for (k = 2; k <= 7; k++) {
                name = substr("arrival_s  ttft_s     tpot_s     e2e_s      input_toks output_toks", 11 * (k - 2) + 1, 11)
                gsub(" ", "", name)
                d = f[k] - $at[name]
                if (d > 2e-9 || d < -2e-9 || (f[k] == "") != ($at[name] == "")) {
                    print "request " $at["request_id"] ": " name " " f[k] ", kvsim " $at[name]; exit
                }
            }
            same++
            delete real[$at["request_id"]]
        }
        END { for (r in real) print "request " r " is not one of kvsim"; print same + 0 > "/dev/stderr" }
    ' "$work/sim.csv" >"$work/diff" 2>"$work/count"
    [ ! -s "$work/diff" ] || fail "$folder: $(head -1 "$work/diff")"
    [ "$(cat "$work/count")" -gt "$least" ] || fail "$folder: only $(cat "$work/count") requests"
}

# ---- the same scenario, served and simulated ----
cat >"$work/online.yaml" <<END
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: h100-sxm}}
engine: {max_num_seqs: 32, max_num_batched_tokens: 512}
tiers: [{name: hbm, kind: hbm, num_gpu_blocks: 2500}]
compute: {kind: affine, prefill_base: 5ms, prefill_per_token: 50us, decode_base: 8ms, decode_per_kv_token: 10ns,
          host_overhead: 300us}
workload: {trace: $PWD/traces/sample/burstgpt_synth.csv.gz, format: burstgpt, prefix: {model: sessions, system: 100},
           rate_scale: 60, limit: 300, replay: open}
END
least=250
alike affine "$work/online.yaml"
alike roofline "$work/online.yaml" --set compute=roofline --set engine.enable_prefix_caching=false
alike smaller "$work/online.yaml" --set compute=roofline --model=llama-3.2-1b
grep -q '^evicted_blocks: [1-9]' "$work/affine/run.yaml" || fail "nothing was evicted: $(cat "$work/affine/run.yaml")"
head -1 "$work/affine/requests.csv" | grep -q '^request_id,arrival_s,ttft_s,tpot_s,e2e_s,input_toks,output_toks,' ||
    fail "columns: $(head -1 "$work/affine/requests.csv")"

# Prompts that lie in host memory: layer by layer, all before, and computed anew; each takes longer than the one before.
{ echo arrival_s,context_tokens,cached_tokens,output_tokens
  for i in $(seq 0 39); do echo "$((i * 2 / 3)).$((i % 10)),$((2000 + 97 * i)),$((1600 + 97 * i)),$((1 + i % 7))"; done |
      sort -n; } >"$work/hits.csv"
cat >"$work/overlap.yaml" <<END
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: h100-sxm, pcie: unlimited}}
engine: {max_num_seqs: 8, max_num_batched_tokens: 4096, block_tokens: 16}
tiers:
  - {name: hbm, kind: hbm, num_gpu_blocks: 4000}
  - {name: dram, kind: dram, capacity: unlimited, write: none, link: copies, store: {latency: 20us}}
network: {links: {copies: {kind: fifo, bandwidth: 50GB/s, scope: gpu}}}
fetch: {mode: layerwise, release_after_layers: 1}
workload: {trace: hits.csv, format: hits, prefix: trace, resident_in: dram}
END
least=39
alike layerwise "$work/overlap.yaml"
alike bulk "$work/overlap.yaml" --set fetch.mode=bulk
alike recompute "$work/overlap.yaml" --set 'fetch.policy={kind: threshold, min_tokens: 1000000}'
mean() { awk -F, 'NR > 1 { s += $3 } END { printf "%.0f", s / (NR - 1) * 1e6 }' "$work/$1/requests.csv"; }
[ "$(mean layerwise)" -lt "$(mean bulk)" ] && [ "$(mean bulk)" -lt "$(mean recompute)" ] ||
    fail "mean TTFT in us: layerwise $(mean layerwise), bulk $(mean bulk), computed anew $(mean recompute)"
[ "$(cut -d, -f1 "$work/layerwise/layers.csv" | sort -u | wc -l)" -gt 30 ] ||
    fail "layers.csv: $(wc -l <"$work/layerwise/layers.csv") rows"
grep -q "^loads: 40$" "$work/layerwise/run.yaml" && grep -q "^loads: 0$" "$work/recompute/run.yaml" || fail "loads"

# ---- a small model that really computes ----
cat >"$work/tiny.yaml" <<END
name: tiny
attention: gqa
layers: 3
hidden: 64
heads: 4
kv_heads: 2
head_dim: 16
intermediate: 96
vocabulary: 64
max_position_tokens: 100000
source: made for a test
END
cat >"$work/small.yaml" <<END
model: {use: tiny.yaml}
engine: {max_num_seqs: 8, max_num_batched_tokens: 64, block_tokens: 8}
tiers: [{name: hbm, kind: hbm, num_gpu_blocks: 200}]
compute: {kind: affine, prefill_per_token: 50us, decode_base: 8ms}
workload: {trace: small.jsonl, format: {kind: blocks, block_tokens: 8, partial: floor}, prefix: trace}
END
for i in $(seq 0 29); do
    echo "{\"arrival_s\": $i.5, \"input_toks\": 50, \"output_toks\": 6," \
         "\"block_ids\": [1,2,$((3 + i % 3)),$((10 + i)),$((90 + i)),$((190 + i))]}"
done >"$work/small.jsonl"
"$serve" "$work/small.yaml" -o "$work/small" --device reference >"$work/table" 2>"$work/err" || fail "reference: $(cat "$work/err")"
grep -q '^TTFT ' "$work/table" || fail "table: $(cat "$work/table")"
grep -q '^requests: {finished: 30, ' "$work/small/run.yaml" || fail "small: $(cat "$work/small/run.yaml")"
[ "$(awk -F, '$8 > 0' "$work/small/requests.csv" | wc -l)" -gt 25 ] || fail "no prefix was found"
"$KVSIM" calib serve "$work/small.yaml" -o "$work/cut" --device reference --layers 2 --quiet 2>"$work/err" &&
    grep -q '^layers: 2$' "$work/cut/run.yaml" && grep -q '^layers: 2$' "$work/cut/model.yaml" || fail "cut: $(cat "$work/err")"
"$KVSIM" run "$work/small.yaml" --set model.use="$work/cut/model.yaml" --quiet 2>"$work/err" || fail "cut run: $(cat "$work/err")"

# Ctrl-C, and the end of the time: what has ended is kept, complete as far as it goes.
sed 's/"output_toks": 6/"output_toks": 900/' "$work/small.jsonl" >"$work/long.jsonl"
sed 's/small.jsonl/long.jsonl/; s/blocks: 200/blocks: 6000/; s/max_num_seqs: 8/max_num_seqs: 1/' "$work/small.yaml" >"$work/long.yaml"
"$serve" "$work/long.yaml" -o "$work/long" --device reference --budget 400ms >"$work/out" 2>"$work/err"
[ $? = 8 ] && grep -q "out of time; .* keeps the [0-9]* requests that ended" "$work/err" || fail "budget: $(cat "$work/err")"
grep -q '^status: out of time$' "$work/long/run.yaml" || fail "budget: $(cat "$work/long/run.yaml")"
"$serve" "$work/long.yaml" -o "$work/long" --force --device reference --budget 30s >"$work/out" 2>"$work/err" &
child=$!
# Until it catches the signal: bit 1 of its mask.
for _ in $(seq 100); do
    mask=$(awk '/^SigCgt/ { print substr($2, length($2)) }' /proc/$child/status 2>/dev/null)
    [ $((0x${mask:-0} & 2)) = 2 ] && break
    sleep 0.05
done
sleep 0.2
kill -INT $child
wait $child
[ $? = 130 ] && grep -q '^status: interrupted$' "$work/long/run.yaml" || fail "Ctrl-C: $(cat "$work/err")"
[ -z "$(ls "$work"/*/*.tmp 2>/dev/null)" ] || fail "unfinished files: $(ls "$work"/*/*.tmp)"

# ---- what is refused ----
refused 2 "SCENARIO.yaml -o FOLDER" --device clock
refused 2 "-o FOLDER is missing" "$work/small.yaml"
refused 2 "did you mean '--device'?" "$work/small.yaml" -o "$work/no" --devise clock
refused 2 "'gpu'" "$work/small.yaml" -o "$work/no" --device gpu
refused 2 "expected KEY=VALUE" "$work/small.yaml" -o "$work/no" --set engine
refused 2 "has a run already; --force replaces it" "$work/small.yaml" -o "$work/small" --device clock
refused 2 "--layers: 9; tiny has 3" "$work/small.yaml" -o "$work/no9" --device clock --layers 9
refused 3 "did you mean" "$work/small.yaml" -o "$work/no" --device clock --set engin.max_num_seqs=1
refused 3 "engine.async_scheduling: the loop makes up a step when" "$work/small.yaml" -o "$work/no" --device clock \
    --set engine.async_scheduling=true
refused 4 "small.jsonl:1: " "$work/small.yaml" -o "$work/no" --device clock --set engine.block_tokens=24 \
    --set workload.format.block_tokens=16
refused 77 "in double precision, allowed are 0.00 GiB" "$work/small.yaml" -o "$work/no" --device reference --memory 1KiB
cat >"$work/wrong.yaml" <<END
model: {use: tiny.yaml}
cluster: {instances: {count: 2}}
engine: {sched: sjf}
tiers:
  - {name: hbm, kind: hbm, num_gpu_blocks: 200, evict: fifo}
  - {name: dram, kind: dram, capacity: 1GiB, write: through}
fetch: {mode: layerwise, lookahead_layers: 2, policy: cost_model}
compute: {kind: affine, decode_base: 8ms}
workload: {trace: small.jsonl, format: {kind: blocks, block_tokens: 16, partial: floor}, prefix: trace,
           replay: {mode: closed, clients: 3}}
END
refused 3 "error" "$work/wrong.yaml" -o "$work/no" --device clock
for text in "wrong.yaml:2:30: error: cluster.instances.count: 2 instances" "wrong.yaml:3:17: error: engine.sched" \
    "wrong.yaml:5:56: error: tiers[0].evict: the loop evicts lru" "wrong.yaml:7:44: error: fetch.lookahead_layers" \
    "wrong.yaml:6:53: error: tiers[1].write: the loop writes nothing" \
    "fetch.policy: the loop estimates nothing" "workload.replay: the loop replays open"; do
    grep -qF -- "$text" "$work/err" || fail "wrong.yaml: '$(cat "$work/err")' has no '$text'"
done
refused 3 "model.use: mixtral-8x7b has experts" "$work/small.yaml" -o "$work/no" --device reference --model mixtral-8x7b
refused 3 "heads of 16; the kernels take 64 and 128" "$work/small.yaml" -o "$work/no"
# The rest of this needs a machine without a GPU.
command -v nvidia-smi >/dev/null || refused 77 "" "$work/online.yaml" -o "$work/no"
[ ! -e "$work/no" ] || fail "a folder was made for nothing"
[ $failed = 0 ] || exit 1
echo "serve: ok"
