#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make install` into a folder of its own: the program finds its data there, from wherever it is called.
. "$(dirname "$0")/../support/shell.sh"
. tests/house/copy_tree.sh
root=$PWD

make_there install PREFIX="$work/usr" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAIL: make install"; exit 1; }
cd /
unset KVSIM_DATA
kvsim=$work/usr/bin/kvsim
"$kvsim" list models | grep -q llama-3.1-8b || fail "list models"
"$kvsim" run "$work/usr/share/kvsim/configs/quickstart.yaml" --quiet -o "$work/a.h5" || fail "quickstart"
[ -s "$work/a.h5" ] || fail "no results"
grep -q '^\.TH' "$work/usr/share/man/man1/kvsim.1" || fail "no manual page"
[ -s "$work/usr/share/kvsim/analysis/kvsim_io.py" ] || fail "no kvsim_io.py"
# A profile that is a folder, with its tables; the programs that measure, where they were built.
"$kvsim" calib info ceph-nvme-4node | grep -q '^put_ack_curve' || fail "calib info of a folder"
for program in "$root"/build/release/kvsim-calib-*; do
    [ ! -x "$program" ] || [ -x "$work/usr/bin/$(basename "$program")" ] || fail "no $(basename "$program")"
done

[ $failed = 0 ] && echo "install: program, data, scenarios, manual page"
exit $failed
