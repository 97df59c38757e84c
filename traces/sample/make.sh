#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the sample traces again, into the folder given (default: this one). All of them are synthetic.
#   traces/sample/make.sh [FOLDER]        KVSIM=./kvsim
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
kvsim=${KVSIM:-$here/../../kvsim}

"$kvsim" trace gen --rows 10000 --seed 1 --set start=9h --set day_cv=0 -o "$out/burstgpt_synth.csv.gz" --force

# Conversations that grow by 700 tokens a turn over a common first block, stamped every 3 s, as Mooncake's file looks.
awk 'BEGIN {
    ids = 1
    for (row = 0; row < 48; row++) {
        c = row % 8; turn = int(row / 8)
        tokens = 900 + 150 * c + 700 * turn
        need = int((tokens + 511) / 512)
        if (count[c] == 0) { list[c] = "0"; count[c] = 1; full[c] = 1 }
        # A block that was partly filled in the turn before has other content now: it gets a new id.
        split(list[c], old, ", ")
        list[c] = ""
        for (i = 1; i <= need; i++) {
            id = i <= full[c] ? old[i] : ids++
            list[c] = list[c] (i > 1 ? ", " : "") id
        }
        count[c] = need; full[c] = int(tokens / 512)
        printf "{\"timestamp\": %d, \"input_length\": %d, \"output_length\": %d, \"hash_ids\": [%s]}\n",
               int(row / 4) * 3000, tokens, 40 + 13 * (row % 7), list[c]
    }
}' >"$out/mooncake_tiny.jsonl"

# Two-turn sessions with 16-token blocks, ids of the response too, think times, classes and priorities.
awk 'BEGIN {
    ids = 1
    for (s = 0; s < 6; s++) {
        history[s] = ""; known[s] = 0
        for (turn = 0; turn < 2; turn++) {
            in_tokens = turn == 0 ? 70 + 9 * s : in_tokens_before[s] + out_before[s] + 20
            out_tokens = 24 + 5 * s
            prompt = int(in_tokens / 16); total = int((in_tokens + out_tokens) / 16)
            while (known[s] < total) history[s] = history[s] (known[s]++ ? "," : "") ids++
            split(history[s], all, ",")
            a = ""; b = ""
            for (i = 1; i <= prompt; i++) a = a (i > 1 ? "," : "") all[i]
            for (i = prompt + 1; i <= total; i++) b = b (i > prompt + 1 ? "," : "") all[i]
            in_tokens_before[s] = in_tokens; out_before[s] = out_tokens
            printf "{\"timestamp\":%.3f,\"input_length\":%d,\"output_length\":%d,\"hash_ids\":[%s],\"output_hash_ids\":[%s],", \
                   s * 0.25 + turn * 30, in_tokens, out_tokens, a, b
            printf "\"session_id\":\"s%d\",\"turn\":%d,%s\"priority\":%d,\"slo_class\":\"default\"}\n", \
                   s, turn, turn ? "\"think_s\":2.5," : "", s % 3
        }
    }
}' | sort -t: -k2 -g >"$out/blocks_tiny.jsonl"
