#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every transcripts/NAME.cmd is a bash script whose stdout, stderr and exit code must be NAME.out, NAME.err and
# NAME.code exactly. It runs from the repository root with `kvsim` being $KVSIM and $T an empty folder.
#   tests/cli/test_transcripts.sh [--update] [NAME...]    --update writes what is seen now; look at the diff
. "$(dirname "$0")/../support/shell.sh"
export KVSIM
kvsim() { "$KVSIM" "$@"; }
export -f kvsim
unset NO_COLOR
update=
[ "${1:-}" = --update ] && { update=1; shift; }
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# What differs from run to run or from machine to machine: the folder, and the line about the host.
settle() {
    sed -e "s|$T|\$T|g" \
        -e 's/^kvsim: [0-9.]* s wall, .* CPU, \([0-9]*\) events (.* M\/s), [0-9]* MiB peak/kvsim: HOST, \1 events/'
}

names=("$@")
[ $# -gt 0 ] || names=($(cd tests/cli/transcripts && ls *.cmd | sed 's/\.cmd$//'))
for name in "${names[@]}"; do
    base=tests/cli/transcripts/$name
    export T=$work/$name
    mkdir "$T"
    bash "$base.cmd" >"$work/raw.out" 2>"$work/raw.err" </dev/null
    echo $? >"$work/code"
    settle <"$work/raw.out" >"$work/out"
    settle <"$work/raw.err" >"$work/err"
    for part in out err code; do
        if [ "$update" ]; then
            cp "$work/$part" "$base.$part"
        elif ! diff -u "$base.$part" "$work/$part"; then
            fail "$base.cmd: $part differs"
        fi
    done
done
[ $failed = 0 ] && echo "${#names[@]} transcripts as expected"
exit $failed
