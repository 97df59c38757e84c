#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Wrong traces: each NN_name.{csv,jsonl,csv.gz} of wrong-traces must give exactly the message of NN_name.err ("LINE: text")
# with exit code 4, from `trace info`, from `trace validate` and, within a scenario, from `run`, which must leave no
# results file. NN_name.args holds the flags that the file needs, one a line; without --format there, `run` is not tried.
#   tests/cli/test_wrong_traces.sh [--update]      --update writes the .err files from what is seen; look at the diff
. "$(dirname "$0")/../support/shell.sh"
dir=tests/cli/wrong-traces
update=${1:-}
count=0

# A scenario that replays FILE ($1) with the flags of its .args ($2...): "--format F" and "--set K=V" become
# workload.format.
scenario() {
    local file=$1 format= params= word
    shift
    while [ $# -gt 0 ]; do
        word=$2
        if [ "$1" = --format ]; then format=$word; else params+=", ${word%%=*}: ${word#*=}"; fi
        shift 2
    done
    [ -n "$format" ] || return 1
    printf 'model: {use: llama-3.1-8b}\ncluster: {nodes: {gpu: h100-sxm}}\nengine: {block_tokens: 16}\n'
    printf 'tiers: [{name: hbm, kind: hbm, capacity: auto}, {name: dram, kind: dram, capacity: 1GiB}]\n'
    printf 'workload: {trace: %s, format: {kind: %s%s}, resident_in: dram}\n' "$file" "$format" "$params"
}

# check NAME FILE MESSAGE FLAGS...: MESSAGE is "LINE: text".
check() {
    local name=$1 file=$2 message=$3 line=${3%%:*} text=${3#*: } code
    shift 3
    printf 'kvsim: %s:%s\n' "$file" "$message" >"$work/expected"
    if [ "$name" != 37_block_size ]; then   # a good trace, but not for this engine
        "$KVSIM" trace info "$file" "$@" >"$work/out" 2>"$work/err" </dev/null
        code=$?
        [ $code = 4 ] || fail "$name: trace info: exit code $code, expected 4"
        [ -s "$work/out" ] && fail "$name: trace info: wrote to stdout"
        diff -u --label expected --label got "$work/expected" "$work/err" || fail "$name: trace info: messages differ"
    fi
    "$KVSIM" trace validate "$file" "$@" --block-tokens 16 >"$work/out" 2>"$work/err" </dev/null
    code=$?
    [ $code = 4 ] || fail "$name: trace validate: exit code $code, expected 4"
    grep -qxF -- "$file:$line: error: $text" "$work/err" || grep -qxF -f "$work/expected" "$work/err" \
        || fail "$name: trace validate: no '$file:$line: error: $text' in: $(head -3 "$work/err")"
    if scenario "$file" "$@" >"$work/scenario.yaml"; then
        "$KVSIM" run "$work/scenario.yaml" -o "$work/out.h5" >"$work/out" 2>"$work/err" </dev/null
        code=$?
        [ $code = 4 ] || fail "$name: run: exit code $code, expected 4"
        grep -qxF -f "$work/expected" "$work/err" || fail "$name: run: no '$(cat "$work/expected")' in: $(head -3 "$work/err")"
        for left in "$work"/out.h5*; do
            [ -e "$left" ] && fail "$name: run: left $(basename "$left") behind" && rm -f "$left"
        done
    fi
    count=$((count + 1))
}

for file in "$dir"/[0-9]*.csv "$dir"/[0-9]*.jsonl "$dir"/[0-9]*.gz; do
    name=$(basename "$file" .gz)
    name=${name%.*}
    flags=($(cat "$dir/$name.args"))
    if [ "$update" = --update ]; then
        "$KVSIM" trace validate "$file" "${flags[@]}" --block-tokens 16 2>&1 >/dev/null | sed "s|^kvsim: ||; s|^$file:||; s/^\([0-9]*\): error: /\1: /" \
            | head -1 >"$dir/$name.err"
    fi
    check "$name" "$file" "$(cat "$dir/$name.err")" "${flags[@]}"
done

# What a repository should not hold as a file.
header='Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type'
long=$work/long.csv.gz
{ echo "$header"; head -c 70000000 /dev/zero | tr '\0' '7'; } | gzip -1 >"$long"
check long_line "$long" "2: a line longer than 64 MiB" --format burstgpt
members=$work/members.csv.gz
gzip -c </dev/null >"$work/member.gz"
for i in $(seq 1500); do cat "$work/member.gz"; done >"$members"
check empty_members "$members" "1: gzip members without content go on and on" --format burstgpt
unsorted=$work/unsorted.csv
{ echo "$header"; for i in $(seq 60 -1 1); do echo "$i,ChatGPT,1,1,2,API log"; done; } >"$unsorted"
"$KVSIM" trace validate "$unsorted" >/dev/null 2>"$work/err"
[ $? = 4 ] || fail "many_problems: exit code"
[ "$(grep -c 'is earlier than' "$work/err")" = 20 ] || fail "many_problems: not 20 problems shown"
grep -q "59 problems in" "$work/err" || fail "many_problems: not 59 problems counted"

# Files that cannot be read at all are exit code 7; unknown formats and parameters are usage, 2.
expect_code() {
    local name=$1 expected=$2 text=$3
    shift 3
    "$@" >"$work/out" 2>"$work/err" </dev/null
    local code=$?
    [ $code = "$expected" ] || fail "$name: exit code $code, expected $expected"
    grep -qF -- "$text" "$work/err" || fail "$name: no '$text' in: $(head -2 "$work/err")"
}
expect_code no_file 7 "cannot be opened: No such file" "$KVSIM" trace info "$work/none.csv"
expect_code directory 7 "cannot be read: Is a directory" "$KVSIM" trace info "$work"
expect_code format 2 "did you mean 'burstgpt'" "$KVSIM" trace info "$unsorted" --format burstgtp
expect_code parameter 2 "unknown key 'block_token'" "$KVSIM" trace info "$unsorted" --format blocks --set block_token=16
expect_code required 2 "block_tokens" "$KVSIM" trace info "$unsorted" --format blocks
[ $failed = 0 ] && echo "$count wrong traces told as expected"
exit $failed
