#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim calib info, check and diff of store profiles, a run with one, and profiles that are wrong: refused with file, row
# and reason, by calib and by a scenario alike.
. "$(dirname "$0")/../support/shell.sh"
. tests/support/store_run.sh
root=$PWD

fresh() { rm -rf "$work/p"; cp -r "$root/models/stores/rgw-memstore" "$work/p"; }
store_run

# What ships is what its samples say, and meets those it was not fitted to.
"$KVSIM" calib check rgw-memstore >"$work/out" 2>&1 || { cat "$work/out"; fail "check of what ships"; }
grep -q '^first byte .*: good$' "$work/out" || fail "check: $(cat "$work/out")"
fresh
"$KVSIM" calib info rgw-memstore | sed 's/^rgw-memstore,/X,/; s/ rgw-memstore\// X\//' >"$work/named"
"$KVSIM" calib info "$work/p" | sed "s#^$work/p,#X,#; s# $work/p/# X/#" >"$work/path"
cmp "$work/named" "$work/path" || fail "a profile by name and by path differ"
for text in "a store of kind object" "^measured 20" "^first_byte_curve " "held-out requests"; do
    grep -q "$text" "$work/named" || fail "info: no '$text'"
done
"$KVSIM" calib diff "$work/p" rgw-memstore >"$work/out" || fail "diff"
grep -qvE '^(parameter|[a-z_]*_curve|[a-z_]*\.csv .* [+-]0\.0 %$)' "$work/out" && fail "a profile differs from itself: $(cat "$work/out")"
"$KVSIM" calib info roce-400g | grep -q '^kind *roce' || fail "info of a link"
"$KVSIM" calib info nvme-pcie4 | grep -q '^read_bandwidth' || fail "info of a compiled profile"

# By name and by path a run is the same.
"$KVSIM" run "$work/run.yaml" --quiet -o "$work/a.h5" >"$work/out" 2>&1 || { cat "$work/out"; fail "a run by path"; }
sed -i 's#profile: ./p#profile: rgw-memstore#' "$work/run.yaml"
(cd / && "$KVSIM" run "$work/run.yaml" --quiet -o "$work/b.h5") >"$work/out" 2>&1 || { cat "$work/out"; fail "by name"; }
for r in a b; do "$KVSIM" export "$work/$r.h5" csv requests >"$work/$r.csv"; done
cmp "$work/a.csv" "$work/b.csv" || fail "a run with a profile by name and one by path differ"
# All that is in force says the same again.
"$KVSIM" config show "$work/run.yaml" >"$work/resolved.yaml" 2>"$work/out" || fail "config show"
"$KVSIM" run "$work/resolved.yaml" --quiet -o "$work/c.h5" >"$work/out" 2>&1 || { cat "$work/out"; fail "resolved"; }
"$KVSIM" export "$work/c.h5" csv requests | cmp - "$work/b.csv" || fail "what config show prints is another store"
sed -i 's#profile: rgw-memstore#profile: ./p#' "$work/run.yaml"

# check finds what was changed by hand, and what does not meet the samples.
fresh
sed -i 's/^bandwidth: .*/bandwidth: 99GB\/s/' "$work/p/profile.yaml"
"$KVSIM" calib check "$work/p" >"$work/out" 2>&1
[ $? = 9 ] && grep -q "bandwidth is 99" "$work/out" || fail "check of a changed parameter: $(cat "$work/out")"
fresh
awk -F, -v OFS=, 'NR == 3 { $3 *= 2 } 1' "$work/p/put_ack.csv" >"$work/x" && cp "$work/x" "$work/p/put_ack.csv"
"$KVSIM" calib check "$work/p" >"$work/out" 2>&1
[ $? != 0 ] && grep -q "put_ack.csv" "$work/out" || fail "check of a changed curve: $(cat "$work/out")"
fresh
awk -F, -v OFS=, 'NR > 1 && NR % 2 { $5 *= 9; $7 *= 9 } 1' "$work/p/samples.csv" >"$work/x" && cp "$work/x" "$work/p/samples.csv"
"$KVSIM" calib check "$work/p" >"$work/out" 2>&1
[ $? = 9 ] || fail "check of other samples: $(cat "$work/out")"
"$KVSIM" calib check rgw-loopback >"$work/out" 2>&1
[ $? = 5 ] && grep -q "nothing to check" "$work/out" || fail "check of a compiled profile: $(cat "$work/out")"
"$KVSIM" calib diff rgw-memstore nvme-pcie4 >"$work/out" 2>&1
[ $? = 3 ] && grep -q "kind" "$work/out" || fail "diff of two kinds"

# wrong NAME FILE:ROW REASON, after something was done to $work/p
wrong() {
    local where code
    for command in "calib info $work/p" "config check $work/run.yaml"; do
        "$KVSIM" $command >"$work/out" 2>&1
        code=$?
        [ $code = 3 ] || [ $code = 7 ] || fail "$1: $command: exit code $code"
        for where in "$2" "$3"; do
            grep -qF -e "$where" "$work/out" || fail "$1: $command: no '$where' in $(cat "$work/out")"
        done
    done
    fresh
}
fresh
rm "$work/p/first_byte.csv"; wrong "missing table" "first_byte.csv" "No such file"
sed -i '1s/first_byte_us/first_byte_ms/' "$work/p/first_byte.csv"; wrong "unit" "first_byte.csv:1" "expected 'first_byte_us'"
sed -i '3s/,[0-9.]*$/,-5/' "$work/p/first_byte.csv"; wrong "negative time" "first_byte.csv:3" "'-5'"
sed -i '3s/,[0-9.]*$/,0.001/' "$work/p/first_byte.csv"; wrong "falling" "first_byte.csv:3" "less work"
sed -i '2d' "$work/p/backend.csv"; wrong "hole" "backend.csv" "grid"
sed -i 's/^  version: 1$/  version: 2/' "$work/p/profile.yaml"; wrong "version" "profile.yaml" "version 2"
sed -i 's/^bandwidth: .*/bandwidth: 3/' "$work/p/profile.yaml"; wrong "bare number" "'3'" "needs a unit"
sed -i 's/^bandwidth: .*/bandwith: 3GB\/s/' "$work/p/profile.yaml"; wrong "unknown key" "bandwith" "did you mean 'bandwidth'"
sed -i '5s/^[a-z]*,/post,/' "$work/p/samples.csv"
"$KVSIM" calib check "$work/p" >"$work/out" 2>&1
[ $? = 3 ] && grep -q "samples.csv:5: op: 'post'" "$work/out" || fail "a bad sample: $(cat "$work/out")"

# kvsim alone, without the program beside it.
mkdir "$work/bin" && cp "$KVSIM" "$work/bin/kvsim"
"$work/bin/kvsim" calib storage -o "$work/q" >"$work/out" 2>&1
[ $? = 77 ] && [ "$(wc -l <"$work/out")" = 1 ] && grep -q "kvsim-calib-storage is not there" "$work/out" ||
    fail "without kvsim-calib-storage: $(cat "$work/out")"
exit $failed
