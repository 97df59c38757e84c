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

# Four sessions of a coding agent with 64-token blocks: prompts that grow by a tool result a turn, and in the second and
# fourth session two sub-agents that start after the first turn and end 14.5 s and 9 s later.
awk '
    function call(t, in_tokens, out_tokens, first, think) {
        return sprintf("{\"t\":%.1f,\"type\":\"n\",\"model\":\"agent\",\"in\":%d,\"out\":%d,\"hash_ids\":\"1-3%s\"," \
                       "\"stop\":\"tool_use\",\"api_time\":%.2f,\"think_time\":%.1f}", t, in_tokens, out_tokens,
                       in_tokens >= 256 ? "," first "-" first + int(in_tokens / 64) - 4 : "", out_tokens / 40, think)
    }
    function subagent(k, t, seconds) {
        return sprintf("{\"t\":%.3f,\"type\":\"subagent\",\"agent_id\":\"agent_%03d\",\"duration_ms\":%d," \
                       "\"tool_tokens\":128,\"system_tokens\":64,\"requests\":[%s,%s]}", t, k, seconds * 1000,
                       call(0, 300, 40, 900 + 50 * k, 0), call(seconds - 3, 420 + 10 * k, 60, 900 + 50 * k, seconds - 4))
    }
    BEGIN {
        for (s = 0; s < 4; s++) {
            printf "{\"id\":\"session_%d\",\"models\":[\"agent\"],\"block_size\":64,\"hash_id_scope\":\"local\"," \
                   "\"tool_tokens\":%d,\"system_tokens\":70,\"requests\":[", s, s == 3 ? 192 : 128
            for (turn = 0; turn < 3 + s; turn++) {
                out_tokens = turn == 2 && s == 2 ? 0 : 50 + 10 * turn
                # The first response takes 1.25 s; the sub-agents start 0.25 s later.
                if (turn == 1 && s % 2) printf ",%s,%s", subagent(1, 10.5, 9), subagent(2, 16, 14.5)
                printf "%s%s", turn ? "," : "", call(20 * turn, 250 + 130 * turn + 17 * s, out_tokens, 4, turn ? 18.5 : 0)
            }
            printf "]}\n"
        }
    }' >"$out/claude_code_tiny.jsonl"

# Requests made of components, and the table of their lengths. The sixth is 25 s earlier than the fifth.
awk 'BEGIN {
    for (i = 0; i < 24; i++) {
        t = 10 * i - (i == 5 ? 35 : 0)
        passages = (i % 5 + 10) ", " (i % 3 + 20)
        printf "{\"timestamp\": \"%d\", \"input_length\": %d, \"output_length\": %d, \"hash_ids\": {\"sys_prompt\": [1, 2], " \
               "\"passages_ids\": [%s], \"history\": [%s], \"web_search\": [], \"user_input\": [%d]}, \"session_id\": \"u%d\"}\n",
               t, 60 + 30 + (i % 5 + 40) + (i % 3 + 50) + (i % 4 == 3 ? 25 : 0) + (i % 7 + 5) + 9, 30 + i, passages,
               i % 4 == 3 ? "30" : "", 100 + i % 7, i % 6
    }
}' >"$out/ragpulse_tiny.jsonl"
awk 'BEGIN {
    print "hash_id,token_length,component"
    print "1,60,sys_prompt"; print "2,30,sys_prompt"
    for (i = 0; i < 5; i++) print 10 + i "," 40 + i ",passages"
    for (i = 0; i < 3; i++) print 20 + i "," 50 + i ",passages"
    print "30,25,history"
    for (i = 0; i < 7; i++) print 100 + i "," 5 + i ",user_input"
}' >"$out/ragpulse_tiny_lengths.csv"

# Three sessions of calls, one after the other in the file though they ran side by side; two calls failed.
awk 'BEGIN {
    for (s = 0; s < 3; s++) {
        at = 1000.5 + 2 * s
        for (i = 0; i < 5; i++) {
            bad = i == 3 && s > 0
            seconds = bad ? 0 : 1.5 + 0.25 * i
            printf "{\"session_id\":\"run%d\",\"span_index\":%d,\"start_time_s\":%.3f,\"end_time_s\":%.3f,\"duration_ms\":%.1f," \
                   "\"input_tokens\":%d,\"output_tokens\":%d,\"request_model\":\"agent\",\"is_error\":%s}\n", s, i, at, at + seconds,
                   1000 * seconds, bad ? 0 : 400 + 90 * i, bad ? 0 : 35 + s, bad ? "true" : "false"
            at += seconds + (i == 1 ? -0.5 : 3)   # the third call begins before the second has ended
        }
    }
}' >"$out/spans_tiny.jsonl"

# Two clients, the first active in all of its windows, the second in short bursts.
awk 'BEGIN {
    print "client,window_start_s,rate_rps,cv,pattern,arg1,arg2"
    for (w = 0; w < 4; w++) printf "0,%d,0.5,1,Gamma,1,2\n", 600 * w
    printf "1,600,0.1,2,Gamma,0.25,0.4\n1,1800,0.2,1.2610,Weibull,0.8,0.05\n"
}' >"$out/servegen_tiny.csv"

awk 'BEGIN {
    print "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio"
    for (i = 0; i < 40; i++) {
        prompt = 100 + (i * 7919) % 900; response = 1 + (i * 104729) % 120
        printf "%d,%d,%d,%.6f\n", prompt, response, prompt + response, prompt / response
    }
}' >"$out/lengths_tiny.csv"

# A request every ten seconds, over three contexts and three shares of them that are cached.
awk 'BEGIN {
    print "arrival_s,context_tokens,cached_tokens,output_tokens,slo_class"
    for (context = 1024; context <= 16384; context *= 4)
        for (eighths = 1; eighths <= 7; eighths += 3)
            printf "%d,%d,%d,4,%s\n", 10 * n++, context, context * eighths / 8, (eighths > 4 ? "warm" : "")
}' >"$out/hits_tiny.csv"
