#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# traces/fetch.sh against a folder of files in place of the network.
. "$(dirname "$0")/../support/shell.sh"
bash -n traces/fetch.sh || exit 1
export KVSIM_TRACE_DIR=$work/data KVSIM_TRACE_MIRROR=file://$work/mirror
mkdir "$work/mirror"

traces/fetch.sh >"$work/list" || fail "no list"
[ "$(grep -c -E '^  (burstgpt|mooncake|azure) ' "$work/list")" -ge 8 ] || fail "the list is short"

# Offline: a clear message, exit code 1, nothing that looks complete.
traces/fetch.sh conversation_trace.jsonl >"$work/out" 2>&1 && fail "success without a file"
grep -q "Is this machine online?" "$work/out" || fail "no hint when offline"
[ -e "$work/data/conversation_trace.jsonl" ] && fail "a file from nowhere"

# A file with another sum is refused and put aside.
echo "not the trace" >"$work/mirror/conversation_trace.jsonl"
traces/fetch.sh conversation_trace.jsonl >"$work/out" 2>&1 && fail "a wrong file was taken"
grep -q "expected b8cbb061a85206d7" "$work/out" || fail "the sums are not told"
[ -e "$work/data/conversation_trace.jsonl" ] && fail "a wrong file has the name of the trace"
[ -e "$work/data/conversation_trace.jsonl.bad" ] || fail "the wrong file is gone"

traces/fetch.sh no_such_trace >"$work/out" 2>&1 && fail "an unknown name was accepted"
grep -q "nothing is called 'no_such_trace'" "$work/out" || fail "an unknown name is not told"

# The real file, also from half of it, and again when it is there.
real=$shared/traces/mooncake/conversation_trace.jsonl.gz
if [ -e "$real" ]; then
    gzip -dc "$real" >"$work/mirror/conversation_trace.jsonl"
    rm -rf "$work/data"
    mkdir "$work/data"
    head -c 100000 "$work/mirror/conversation_trace.jsonl" >"$work/data/conversation_trace.jsonl.part"
    traces/fetch.sh conversation_trace.jsonl >"$work/out" 2>&1 || fail "not fetched: $(cat "$work/out")"
    cmp -s "$work/mirror/conversation_trace.jsonl" "$work/data/conversation_trace.jsonl" || fail "the resumed file differs"
    rm "$work/mirror/conversation_trace.jsonl"
    traces/fetch.sh conversation_trace.jsonl >"$work/out" 2>&1 || fail "a good file was fetched again"
    grep -q "present and good" "$work/out" || fail "a good file is not recognised"
else
    echo "SKIP: $real is absent: resuming a real file is not tested"
    [ $failed = 0 ] && exit 77
fi
[ $failed = 0 ] && echo "fetch.sh as described"
exit $failed
