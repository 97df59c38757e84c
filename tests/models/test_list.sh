#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `kvsim list` shows every plug-in and data file that exists, as valid JSON, and refuses what does not exist.
. "$(dirname "$0")/../support/shell.sh"

# KIND FILES...: the names listed are those of the files, in order.
same_names() {
    local kind=$1 listed files
    shift
    listed=$("$KVSIM" list "$kind" --json | python3 -c 'import json,sys; print(*[r["name"] for r in json.load(sys.stdin)])')
    files=$(for f in "$@"; do basename "${f%.*}"; done | LC_ALL=C sort | tr '\n' ' ')
    [ "$listed " = "$files" ] || fail "list $kind: '$listed', files: '$files'"
}
same_names models models/data/*.yaml
same_names gpus models/gpus/*.yaml
same_names compute models/compute/*.c
same_names evict policies/evict/*.c
same_names sched policies/sched/*.c
same_names route policies/route/*.c
same_names admit policies/admit/*.c
same_names fetch policies/fetch/*.c
same_names transfer policies/transfer/*.c
same_names stores models/store/*.c
same_names links models/link/*.c
listed=$("$kvsim" list profiles --json | python3 -c 'import json,sys; print(*[r["name"] for r in json.load(sys.stdin)])')
named() { for f in "$1"/*; do basename "${f%.yaml}"; done | LC_ALL=C sort; }   # a folder is a profile too
files=$({ named models/stores; named models/links; } | tr '\n' ' ')
[ "$listed " = "$files" ] || fail "list profiles: '$listed', files: '$files'"
same_names readers traces/reader/*.c

for kind in models gpus policies compute evict admit fetch sched route transfer stores profiles links readers params metrics; do
    "$KVSIM" list $kind > /dev/null || fail "list $kind: exit $?"
    "$KVSIM" list $kind --json | python3 -c '
import json, sys
rows = json.load(sys.stdin)
assert rows and all(isinstance(v, (str, int, float, bool, list)) for r in rows for v in r.values())' ||
        fail "list $kind --json is not an array of rows"
done

# Every parameter of a plug-in says what it is for; every default of roofline says where it comes from.
"$KVSIM" list params --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    assert row["help"], row' || fail "a parameter without help"
"$KVSIM" list params roofline | grep -c "from: groundtruth/ops/" | grep -qx 10 || fail "roofline: sources missing"

# Bytes, as in docs/models.md; a block is 16 tokens of one GPU.
check_kv() {
    local found
    found=$("$KVSIM" list models "$1" --kv --tp "$2" --json | python3 -c '
import json, sys
(r,) = json.load(sys.stdin)
print(r["layer_bytes"], r["token_bytes"], r["block_bytes"])')
    [ "$found" = "$3" ] || fail "list models $1 --kv --tp $2: $found, expected $3"
}
check_kv llama-3.1-8b 1 "4096 131072 2097152"
check_kv llama-3.1-70b 4 "1024 81920 1310720"
check_kv meta-llama/Llama-3.1-70B 16 "512 40960 655360"
check_kv deepseek-v3 8 "1152 70272 1124352"

# ARGS: exit 2, a message with TEXT.
refuses() {
    local text=$1 out code
    shift
    out=$("$KVSIM" list "$@" 2>&1 >/dev/null)
    code=$?
    [ $code = 2 ] || fail "list $*: exit $code, expected 2"
    case $out in *"$text"*) ;; *) fail "list $*: '$out' lacks '$text'" ;; esac
}
refuses "did you mean 'models'" modles
refuses "did you mean 'lru'" evict lruu
refuses "did you mean 'engine'" params engin
refuses "llama-3.1-8b" models no-such-model
refuses "--kv" gpus --tp 2
refuses "1..1024" models --kv --tp 0
exit $failed
