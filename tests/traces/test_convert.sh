#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# trace convert and gen: what goes in comes out, to the byte where the form can say all of it.
. "$(dirname "$0")/../support/shell.sh"
sample=traces/sample

# BurstGPT form: reading and writing again gives the same bytes.
"$KVSIM" trace convert $sample/burstgpt_synth.csv.gz -o "$work/again.csv" >/dev/null || fail "convert"
cmp "$work/again.csv" <(gzip -dc $sample/burstgpt_synth.csv.gz) || fail "BurstGPT rows changed"
# Through blocks: sessions, turns and times survive (the model and the kind of log do not).
"$KVSIM" trace convert $sample/burstgpt_synth.csv.gz -o "$work/a.jsonl.gz" >/dev/null 2>&1
"$KVSIM" trace convert "$work/a.jsonl.gz" --set block_tokens=16 -o "$work/b.csv" >/dev/null
diff <(cut -d, -f1-3,5-7 "$work/again.csv") <(cut -d, -f1-3,5-7 "$work/b.csv") >/dev/null || fail "rows changed through blocks"

# Blocks, with ids of prompt and response.
"$KVSIM" trace convert $sample/blocks_tiny.jsonl --set block_tokens=16 -o "$work/c.jsonl" >/dev/null 2>&1
"$KVSIM" trace convert "$work/c.jsonl" --set block_tokens=16 -o "$work/d.jsonl" >/dev/null 2>&1
cmp "$work/c.jsonl" "$work/d.jsonl" || fail "blocks are no fixed point"
diff <("$KVSIM" trace head -n 99 $sample/blocks_tiny.jsonl --set block_tokens=16) \
     <("$KVSIM" trace head -n 99 "$work/c.jsonl" --set block_tokens=16) || fail "block rows changed"
"$KVSIM" trace convert $sample/mooncake_tiny.jsonl -o "$work/m.jsonl" >/dev/null 2>&1
diff <("$KVSIM" trace info $sample/mooncake_tiny.jsonl --lru 20,40 | tail -n +3) \
     <("$KVSIM" trace info "$work/m.jsonl" --format blocks --set block_tokens=512 --lru 20,40 | tail -n +3) || fail "Mooncake hits changed"

# What is resident survives.
"$KVSIM" trace convert $sample/hits_tiny.csv -o "$work/r.jsonl" >/dev/null 2>&1
"$KVSIM" trace convert "$work/r.jsonl" --set block_tokens=16 --set partial=prefix -o "$work/s.jsonl" >/dev/null 2>&1
cmp "$work/r.jsonl" "$work/s.jsonl" || fail "rows with resident tokens changed"
diff <(tail -n +2 $sample/hits_tiny.csv | cut -d, -f3) <(sed 's/.*"resident_tokens":\([0-9]*\).*/\1/' "$work/s.jsonl") || fail "resident tokens"

# gen: one seed, one text; packed or not.
"$KVSIM" trace gen --rows 300 --seed 9 -o "$work/g.csv" >/dev/null || fail "gen"
"$KVSIM" trace gen --rows 300 --seed 9 -o "$work/g.csv.gz" >/dev/null
"$KVSIM" trace gen --rows 300 --seed 10 -o "$work/h.csv" >/dev/null
cmp "$work/g.csv" <(gzip -dc "$work/g.csv.gz") || fail "gen: packed text differs"
cmp -s "$work/g.csv" "$work/h.csv" && fail "gen: seeds do not matter"
[ "$(wc -l <"$work/g.csv")" = 301 ] || fail "gen: not 300 rows"
"$KVSIM" trace gen --rows 20000 --set rate=100req/s -o "$work/i.jsonl" >/dev/null
[ "$(wc -l <"$work/i.jsonl")" = 20000 ] || fail "gen: not 20000 rows"

# Nothing is overwritten, nothing half is left.
"$KVSIM" trace gen --rows 5 -o "$work/g.csv" >/dev/null 2>"$work/err" && fail "a file was overwritten"
grep -q -- "--force" "$work/err" || fail "--force is not mentioned"
printf 'Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n1,x,1,1,2,API log\n0,x,1,1,2,API log\n' >"$work/bad.csv"
"$KVSIM" trace convert "$work/bad.csv" -o "$work/out.jsonl" >/dev/null 2>"$work/err"
[ $? = 4 ] || fail "a bad trace does not exit 4"
ls "$work"/out* 2>/dev/null && fail "a bad trace left a file"
[ $failed = 0 ] && echo "conversions as expected"
exit $failed
