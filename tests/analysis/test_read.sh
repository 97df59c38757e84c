#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Results files are read by what users have: h5py, xarray with both of its engines, h5dump.
. "$(dirname "$0")/../support/shell.sh"
python=/usr/bin/python3

# One run with failed rows and a warm-up, and one that a time limit stops with requests under way.
"$KVSIM" run configs/quickstart.yaml -o "$work/whole.h5" --quiet || fail "run"
"$KVSIM" run configs/quickstart.yaml -o "$work/part.h5" --quiet --time-limit 40s --set workload.rate_scale=400 2>/dev/null
[ $? = 8 ] || fail "a run with --time-limit ends with 8"

# Three tiers and their links, with little HBM, so that all of them are read and written.
"$KVSIM" run configs/three_tiers.yaml -o "$work/three.h5" --quiet --set workload.warmup=0s --set workload.limit=3000 \
    --set workload.rate_scale=900 --set tiers[0].capacity=3GiB --set output.flows=all || fail "run, three tiers"
# A made-up run over tiers and links, as a test of sim/out writes it; another program may be under test than was built.
files="whole part three"
tiers=$(dirname "$KVSIM")/tests/sim/out/test_tiers
if [ -x "$tiers" ]; then
    KVSIM_TIERS_FILE=$work/tiers.h5 "$tiers" >/dev/null || fail "test_tiers does not write its file"
    files="$files tiers"
fi

h5dump -H "$work/whole.h5" >"$work/dump" || fail "h5dump -H"
grep -q 'DATASET "prompt_tokens_by_source"' "$work/dump" || fail "h5dump does not list the columns"
h5dump -d /requests/first_token -s 0 -c 3 "$work/whole.h5" | grep -q '(0): [0-9]' || fail "h5dump -d"
h5dump -p -d /requests/finish -c 1 "$work/whole.h5" >"$work/dump"
for word in SHUFFLE DEFLATE 'CHUNKED ( 10000 )'; do grep -q "$word" "$work/dump" || fail "no $word in the properties"; done

skipped=
for module in h5py pandas; do
    $python -c "import $module" 2>/dev/null || skip "$python has no $module (package python3-$module)"
done
for file in $files; do $python tests/analysis/check_results.py "$work/$file.h5" || fail "check_results $file"; done
for engine in h5netcdf netCDF4; do
    if ! $python -c "import xarray, $engine" 2>/dev/null; then
        skipped="$skipped $engine"
        continue
    fi
    for file in $files; do
        $python tests/analysis/check_xarray.py "$work/$file.h5" "${engine,,}" || fail "xarray with $engine, $file"
    done
done
[ $failed = 0 ] || exit 1
[ -z "$skipped" ] || skip "$python has no xarray with$skipped (packages python3-xarray,${skipped,,})"
echo "h5py, xarray with h5netcdf and netcdf4, h5dump"
