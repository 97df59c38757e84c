#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# configs/systems/objectcache holds: every band, every negative control, nothing tuned.
set -u
cd "$(dirname "$0")/../.."
export LC_ALL=C
export KVSIM=$(realpath "${KVSIM:-./kvsim}")
python=${PYTHON:-/usr/bin/python3}
$python -c 'import h5py' 2>/dev/null || { echo "SKIP: $python has no h5py (package python3-h5py)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

$python analysis/reproduce.py -o "$work" configs/systems/objectcache >"$work/said" 2>&1
code=$?
grep -vE ' (holds|prediction|fails as stated)$' "$work/said"
exit $code
