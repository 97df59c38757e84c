#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The bundled samples are what traces/sample/make.sh makes, and what their README says.
. "$(dirname "$0")/../support/shell.sh"
set -e
export KVSIM

traces/sample/make.sh "$work" >/dev/null
for name in mooncake_tiny.jsonl blocks_tiny.jsonl claude_code_tiny.jsonl ragpulse_tiny.jsonl ragpulse_tiny_lengths.csv \
    spans_tiny.jsonl servegen_tiny.csv lengths_tiny.csv hits_tiny.csv; do cmp "traces/sample/$name" "$work/$name"; done
# Compressed bytes may differ between deflate libraries; the text may not.
cmp <(gzip -dc traces/sample/burstgpt_synth.csv.gz) <(gzip -dc "$work/burstgpt_synth.csv.gz")

sum=$(gzip -dc traces/sample/burstgpt_synth.csv.gz | sha256sum | cut -d' ' -f1)
grep -q "$sum" traces/sample/README.md || { echo "FAIL: README.md has another sum than $sum"; exit 1; }
[ "$(stat -c %s traces/sample/burstgpt_synth.csv.gz)" -lt 200000 ] || { echo "FAIL: the sample has grown past 200 kB"; exit 1; }
"$KVSIM" trace info traces/sample/burstgpt_synth.csv.gz >"$work/info"
grep -q "sha256 $sum" "$work/info"
grep -q "^rows      10000 " "$work/info"
for name in mooncake_tiny.jsonl burstgpt_synth.csv.gz claude_code_tiny.jsonl spans_tiny.jsonl servegen_tiny.csv \
    lengths_tiny.csv hits_tiny.csv; do "$KVSIM" trace validate "traces/sample/$name" >/dev/null; done
"$KVSIM" trace validate traces/sample/blocks_tiny.jsonl --set block_tokens=16 >/dev/null
"$KVSIM" trace validate traces/sample/ragpulse_tiny.jsonl --set lengths=traces/sample/ragpulse_tiny_lengths.csv >/dev/null
echo "samples as described"
