#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# configs/systems/cake holds: every band, every negative control, nothing tuned.
. "$(dirname "$0")/../support/shell.sh"
export KVSIM
python=${PYTHON:-/usr/bin/python3}
$python -c 'import h5py' 2>/dev/null || skip "$python has no h5py (package python3-h5py)"

$python analysis/reproduce.py -o "$work" configs/systems/cake >"$work/said" 2>&1 \
    || fail "$(grep -vE ' (holds|prediction|fails as stated)$' "$work/said")"
tail -1 "$work/said"
exit $failed
