#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `kvsim calib NAME` takes the flags of kvsim-calib-NAME: their names and presets stand in two programs.
. "$(dirname "$0")/../support/shell.sh"
seen=0
for program in "$(dirname "$KVSIM")"/kvsim-calib-*; do
    [ -x "$program" ] || continue
    name=${program##*kvsim-calib-}
    "$KVSIM" help calib "$name" >"$work/help" 2>/dev/null || continue   # a program that kvsim does not run
    seen=$((seen + 1))
    "$program" --help | sed -n 's/^ *--\([a-z-]*\).*/\1/p' | sort >"$work/of_program"
    sed -n 's/^ \{2,\}\(-[a-z], \)\?--\([a-z-]*\).*/\2/p' "$work/help" | grep -vx 'help\|color' | sort >"$work/of_kvsim"
    [ -s "$work/of_program" ] || fail "$name: --help lists no options"
    diff "$work/of_program" "$work/of_kvsim" >"$work/diff" || fail "calib $name: flags differ: $(cat "$work/diff")"
    # What is preset says both, in parentheses at the end of the line; lists and words, not switches.
    tr -s ' \n' ' ' <"$work/help" >"$work/flat"
    "$program" --help | sed -n 's/^ *--\([a-z-]*\) .*(\([^()]*\))$/\1 \2/p' | while read -r option preset; do
        case $preset in true | false | -1) continue ;; esac
        grep -qF -- "($preset)" "$work/flat" || echo "--$option is preset to $preset"
    done >"$work/presets"
    [ ! -s "$work/presets" ] || fail "calib $name: $(cat "$work/presets")"
done
[ $seen -gt 0 ] || skip "no program that measures was built"
exit $failed
