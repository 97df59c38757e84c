#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Wrong scenarios: each NN_name.yaml beside this script's folder must give exactly the messages of NN_name.err, with
# exit code 3, from `config check` and from `run`, and leave no results file. NN_name.args holds further arguments, one
# a line. In .err, @evict@ and the like stand for the names of the plug-ins in that folder. A sanitizer report is a
# difference in stderr or in the exit code.
. "$(dirname "$0")/../support/shell.sh"
dir=tests/cli/wrong-scenarios
count=0

# Names of the plug-ins of a folder: "a, b, c".
names() { (cd "$1" && printf '%s\n' *.c | sed 's/\.c$//' | LC_ALL=C sort | paste -sd, | sed 's/,/, /g'); }
sed_known="s/@compute@/$(names models/compute)/;s/@evict@/$(names policies/evict)/;s/@route@/$(names policies/route)/"
sed_known+=";s/@sched@/$(names policies/sched)/;s/@reader@/$(names traces/reader)/;s/@store@/$(names models/store)/"
sed_known+=";s/@link@/$(names models/link)/;s/@admit@/$(names policies/admit)/;s/@fetch@/$(names policies/fetch)/"
sed_known+=";s/@transfer@/$(names policies/transfer)/"

# expect NAME EXPECTED_STDERR COMMAND...: exit code 3, nothing on stdout, that text on stderr.
expect() {
    local name=$1 expected=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err" </dev/null
    local code=$?
    [ $code = 3 ] || fail "$name: exit code $code, expected 3 ($*)"
    [ -s "$work/out" ] && fail "$name: wrote to stdout: $(head -c 200 "$work/out")"
    diff -u --label expected --label got "$expected" "$work/err" || fail "$name: messages differ ($*)"
}

for scenario in "$dir"/[0-9]*.yaml; do
    name=$(basename "$scenario" .yaml)
    args=()
    [ -f "$dir/$name.args" ] && mapfile -t args <"$dir/$name.args"
    count=$((count + 1))
    if [ ! -f "$dir/$name.err" ]; then
        fail "$name: has no $name.err"
        continue
    fi
    sed "$sed_known" "$dir/$name.err" >"$work/expected"
    expect "$name" "$work/expected" "$KVSIM" config check "${args[@]}" "$scenario"
    sed '$s/$/; nothing was run/' "$work/expected" >"$work/expected_run"
    expect "$name" "$work/expected_run" "$KVSIM" run -o "$work/out.h5" "${args[@]}" "$scenario"
    for left in "$work"/out.h5*; do
        [ -e "$left" ] && fail "$name: left $(basename "$left") behind" && rm -f "$left"
    done
done

# What a repository cannot hold as a file.
printf '%s/none.yaml: error: cannot open: No such file or directory\nkvsim: 1 error\n' "$work" >"$work/expected"
expect no_file "$work/expected" "$KVSIM" config check "$work/none.yaml"
printf '%s: error: is a directory, not a YAML file\nkvsim: 1 error\n' "$work" >"$work/expected"
expect directory "$work/expected" "$KVSIM" config check "$work"
head -c 5000000 /dev/zero | tr '\0' '#' >"$work/large.yaml"
{
    printf '%s/large.yaml: error: larger than the 4 MiB allowed for YAML\n' "$work"
    printf '      | is this a trace?\nkvsim: 1 error\n'
} >"$work/expected"
expect large "$work/expected" "$KVSIM" config check "$work/large.yaml"

# --json-errors says the same, one object a line.
"$KVSIM" config check --json-errors "$dir/13_unknown_keys.yaml" >/dev/null 2>"$work/err"
[ "$(wc -l <"$work/err")" = 4 ] || fail "json_errors: expected 4 lines: $(cat "$work/err")"
"${PYTHON:-python3}" - "$work/err" <<'PY' || fail "json_errors: not the objects expected"
import json, sys
notes = [json.loads(line) for line in open(sys.argv[1])]
assert [(n["line"], n["column"]) for n in notes] == [(4, 10), (4, 27), (6, 28), (7, 1)], notes
assert all(n["severity"] == "error" for n in notes)
assert notes[0]["hint"] == "did you mean 'max_num_seqs'?" and notes[0]["file"].endswith("13_unknown_keys.yaml")
PY

# Several files: the good one is told apart.
"$KVSIM" config check configs/smallest.yaml "$dir/45_wrong_version.yaml" >"$work/out" 2>"$work/err"
[ $? = 3 ] && [ "$(cat "$work/out")" = "configs/smallest.yaml: ok" ] || fail "two_files: $(cat "$work/out")"

[ $count -ge 80 ] || fail "corpus: only $count scenarios"
[ $failed = 0 ] && echo "$count wrong scenarios, each refused as expected"
exit $failed
