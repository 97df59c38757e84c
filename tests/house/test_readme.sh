#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every kvsim command line and the Python example of README do what they say: run in a copy of the tree, in order.
# (Its policy is built by test_add_plugin.sh.)
. "$(dirname "$0")/../support/shell.sh"
. tests/house/copy_tree.sh
python=${PYTHON:-python3}

copy_tree "$work/copy"
cd "$work/copy"
make_there kvsim >"$work/log" 2>&1 || { cat "$work/log"; echo "FAIL: make"; exit 1; }

count=0
while read -r line; do
    count=$((count + 1))
    bash -c "$line" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; fail "$line"; }
done < <(awk '/^```/ { inside = !inside } inside && /^\.\/kvsim /' README.md | sed 's/  *#.*//')
[ $count -ge 6 ] || fail "only $count commands found"
[ "$(wc -l <requests.csv)" -gt 100 ] || fail "requests.csv is short"
grep -q '<svg' results.svg || fail "results.svg is no picture"

awk '/^```python$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md >"$work/example.py"
"$python" "$work/example.py" >"$work/log" 2>&1 || { cat "$work/log"; fail "the Python example"; }
grep -q '^mean .*[0-9]' "$work/log" || { cat "$work/log"; fail "the Python example prints no mean"; }

# Files and folders that README and ARCHITECTURE name are there.
for path in $(grep -oh '`[a-zA-Z_.]*/[a-zA-Z0-9_./-]*`\|](\([^)h][^)]*\))' README.md ARCHITECTURE.md |
              sed 's/^](\(.*\))$/\1/; s/`//g' | sort -u); do
    case $path in policies/evict/slru.c | *'*'*) continue ;; esac
    [ -e "$path" ] || [ -e "./$path" ] || fail "named, but not there: $path"
done
for target in $(grep -ohE '(^|`)make [a-z-]+' README.md ARCHITECTURE.md | sed 's/.*make //' | sort -u); do
    grep -q "^$target:" Makefile || fail "no make target $target"
done

[ $failed = 0 ] && echo "README: $count commands, the Python example, files and targets named"
exit $failed
