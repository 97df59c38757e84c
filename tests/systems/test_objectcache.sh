#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# configs/systems/objectcache holds: every band, every negative control, nothing tuned.
. "$(dirname "$0")/../support/shell.sh"
export KVSIM
python=${PYTHON:-/usr/bin/python3}
$python -c 'import h5py' 2>/dev/null || skip "$python has no h5py (package python3-h5py)"

$python analysis/reproduce.py -o "$work" configs/systems/objectcache >"$work/said" 2>&1 \
    || fail "$(grep -vE ' (holds|prediction|fails as stated)$' "$work/said")"
tail -1 "$work/said"
# Where there is matplotlib (no test needs it), its figures can be drawn.
if $python -c 'import matplotlib' 2>/dev/null; then
    $python analysis/plot_objectcache.py "$work/objectcache" "$work/figures" >"$work/said" || fail "plot_objectcache.py"
    [ "$(wc -l <"$work/said")" = 4 ] || fail "not four figures"
fi
exit $failed
