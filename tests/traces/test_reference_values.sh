#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `kvsim trace info` against ../shared: every row of traces/reference_values.csv exactly, the hit ratios of spec ux.md
# 4.3 to 4 decimals, the counts of traces/README.md, the infinite-cache hits of groundtruth/e2e.
. "$(dirname "$0")/../support/shell.sh"
values=$shared/traces/reference_values.csv
needs "$values"

# Options that a file needs, and its table by touch order.
options() {
    case $1 in
    agentic/*) echo --format blocks --set block_tokens=256 --set bytes_per_token=1 ;;
    sharegpt/*) echo --format blocks --set block_tokens=16 ;;
    *) echo --format mooncake ;;
    esac
}
checked=0
for file in $(tail -n +2 "$values" | cut -d, -f1 | sort -u); do
    capacities=$(awk -F, -v f="$file" '$1 == f && $3 != "" { print $3 }' "$values" | sort -nu | paste -sd,)
    for touch in root_first leaf_first; do
        "$KVSIM" trace info "$shared/traces/$file" $(options "$file") --lru "$capacities" --touch $touch >"$work/$touch" || exit 1
    done
    while IFS=, read -r _ metric capacity value; do
        case $metric in
        requests) found=$(awk '$1 == "rows" { print $2 }' "$work/root_first") ;;
        blocks_total) found=$(awk '$1 == "blocks" { print $2 }' "$work/root_first") ;;
        blocks_unique) found=$(awk '$1 == "blocks" { print $6 }' "$work/root_first") ;;
        prefix_hit_blocks_infinite) found=$(awk '$1 == "infinite" { print $2 }' "$work/root_first") ;;
        prefix_hit_blocks_lru_*) found=$(awk -v c="$capacity" '$1 == c { print $2 }' "$work/${metric#prefix_hit_blocks_lru_}") ;;
        *) found="(unknown metric)" ;;
        esac
        [ "$found" = "$value" ] || fail "$file: $metric $capacity: found $found, expected $value"
        checked=$((checked + 1))
    done < <(grep "^$file," "$values")
done
[ $checked = "$(($(wc -l <"$values") - 1))" ] || fail "only $checked rows of $values were checked"

# ux.md 4.3: by block, by token, mean per request.
conversation=$shared/traces/mooncake/conversation_trace.jsonl.gz
"$KVSIM" trace info "$conversation" --lru 1000,10000,30000,50000,100000 >"$work/ratios"
while read -r line; do
    grep -q -E "^ *${line%% *} .* ${line#* }\$" "$work/ratios" || fail "hit ratios '$line' not found"
done <<'END'
1000 0\.0445 +0\.0454 +0\.1624
10000 0\.2112 +0\.2153 +0\.2971
30000 0\.3257 +0\.3321 +0\.3850
50000 0\.3546 +0\.3615 +0\.4030
100000 0\.3637 +0\.3708 +0\.4080
infinite 0\.3664 +0\.3736 +0\.4094
END

# Counts of traces/README.md. The format of each is told from its first line.
says() { # FILE PATTERN..
    local file=$1; shift
    "$KVSIM" trace info "$shared/traces/$file" >"$work/info" || fail "$file: exit code"
    for pattern in "$@"; do grep -q -E "$pattern" "$work/info" || fail "$file: no '$pattern'"; counts=$((counts + 1)); done
}
counts=0
says agentic/claude_code_sessions.jsonl.gz '^rows +30382 \(18 failed' '^file +460 sessions, 42 sub-agents$' \
    '^sessions +460, turns mean 66.05  p50 46 .* max 561 ' '^blocks +55080763 of 64 tokens' '^ +infinite +52985937 .* 0\.9620 '
says ragpulse/0_trace_days0-4.jsonl.gz '^rows +5167 \(' '^arrivals +gap CV 2\.799, IDC of 60 s 1\.777$' \
    '^sessions +2899, turns mean 1.78 ' '^ +gap between turns mean 1727 s  p50 41 s' \
    '^parts +51937 of prompts, 16615 unique; 15127791 tokens$' \
    'as prefix 10141, 4997307 tokens; at any position 35309, 10714233 tokens$'
says agentic/swebench_claude_code_spans.jsonl.gz '^rows +2294 \(148 failed' '^arrivals +gap CV 27\.46' '^sessions +46, '
says servegen/m-small_client_windows.csv.gz '^file +40095 windows of 43 clients$'
says lengths/arxiv_summarization_llama2_lengths.csv.gz '^rows +28257 \(0 failed'
says agentic/origin_format_trace_0248.json '^input .* sum 858220$' '^output .* sum 3727$'
says agentic/origin_format_trace_0515.json '^input .* sum 811254$' '^output .* sum 9953$'

# groundtruth/README.md: hit tokens of all prompt tokens.
for run in "sharegpt-llama-3.1-8b-300 19520 257239" "sharegpt-qwen3-300 20448 258691"; do
    set -- $run
    "$KVSIM" trace info "$shared/groundtruth/e2e/workloads/$1.jsonl.gz" --set block_tokens=16 --set partial=floor >"$work/info"
    found=$(awk '$1 == "infinite" { hits = $3 } $1 == "input" { sum = $NF } END { print hits, sum }' "$work/info")
    [ "$found" = "$2 $3" ] || fail "$1: found '$found', expected '$2 $3'"
    # A serving run with memory to spare admits the same hits.
    "$KVSIM" run configs/smallest.yaml --set "workload={trace: $shared/groundtruth/e2e/workloads/$1.jsonl.gz, \
        format: {kind: blocks, block_tokens: 16, partial: floor}, prefix: trace}" \
        --set 'tiers=[{name: hbm, kind: hbm, num_gpu_blocks: 1000000}]' --json --progress none >"$work/json" 2>/dev/null
    served=$(grep -o '"prompt_tokens[a-z_.]*": [0-9]*' "$work/json" | tr -d '",' | tr '\n' ' ')
    [ "$served" = "prompt_tokens: $3 prompt_tokens_by_source.hbm: $2 prompt_tokens_by_source.compute: $(($3 - $2)) " ] \
        || fail "$1: served '$served'"
done

# The same trace, plain: the same words but for its name.
gzip -dc "$conversation" >"$work/conversation.jsonl"
diff <("$KVSIM" trace info "$conversation" | tail -n +2) <("$KVSIM" trace info "$work/conversation.jsonl" | tail -n +2) \
    || fail "plain and gzip differ"
# The three other LRU sizes of cache_truth_conversation.csv, from another program.
grep '^conversation,lru,' "$shared/traces/cache_truth_conversation.csv" | while IFS=, read -r _ _ size _ _ _ hits _; do
    found=$("$KVSIM" trace info "$conversation" --lru "$size" | awk -v c="$size" '$1 == c { print $2 }')
    [ "$found" = "$hits" ] || echo "FAIL: cache_truth: $size: found $found, expected $hits"
done >"$work/truth"
[ -s "$work/truth" ] && { cat "$work/truth"; failed=1; }
[ $failed = 0 ] && echo "$checked reference values, 18 ratios, $counts counts, 2 workloads as published"
exit $failed
