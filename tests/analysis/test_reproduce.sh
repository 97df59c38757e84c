#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# analysis/reproduce.py, on a system of two requests (tests/analysis/system/tiny) and on copies of it that are wrong.
. "$(dirname "$0")/../support/shell.sh"
export KVSIM
python=${PYTHON:-/usr/bin/python3}
$python -c 'import h5py' 2>/dev/null || skip "$python has no h5py (package python3-h5py)"

# attempt NAME CODE TEXT [SED_EXPRESSION FILE]: a copy of the system, changed; its exit code, and what it must say.
attempt() {
    local name=$1 expected=$2 text=$3
    mkdir -p "$work/$name" && cp -r tests/analysis/system/tiny "$work/$name/"
    [ $# -lt 5 ] || sed -i "$4" "$work/$name/tiny/$5"
    $python analysis/reproduce.py -o "$work/$name/out" "$work/$name/tiny" >"$work/$name/said" 2>&1
    local code=$?
    [ $code = "$expected" ] || fail "$name: exit code $code, expected $expected: $(tail -3 "$work/$name/said")"
    grep -qE -- "$text" "$work/$name/said" || fail "$name: no '$text' in: $(cat "$work/$name/said")"
}

attempt good 0 '^tiny: 1 fails as stated, 6 holds, 1 prediction$'
grep -qE '^ttft_second +16 +16 +\+0\.0 % .* ms +G1 +holds$' "$work/good/said" || fail "good: the row of ttft_second"
grep -qE '^  compute.decode_base: 10ms \| 20ms$' "$work/good/said" || fail "good: the parameter that differs"
grep -q '^speedup,-,4,-,3.9 .. 4.1,,G2,holds$' <(tr -d '\r' <"$work/good/out/tiny/report.csv") || fail "good: report.csv"
attempt band 1 '^ttft_second .* DOES NOT HOLD$' 's/^ttft_second,claim,cached_10.requests.ttft.1.,16/ttft_second,claim,cached_10.requests.ttft[1],17/' expected.csv
attempt order 1 '^order .* DOES NOT HOLD$' 's/ascending(cached_10.requests.ttft.1., plain/ascending(cached_10.requests.ttft[0], cached_20/' expected.csv
attempt tuned 1 'TUNED compute.decode_base: 10ms \| 20ms' '/^compute/d' varies.csv
grep -qE '^ttft_first .* tuned$' "$work/tuned/said" || fail "tuned: the verdict"
attempt elsewhere 1 'TUNED engine.enable_prefix_caching' 's/,plain,/,cached_10,/' varies.csv
attempt one_value 1 'TUNED compute.decode_base' 's/decode_base,\*/decode_base,= cached_*/' varies.csv
attempt two_groups 0 '^tiny: 1 fails' 's/decode_base,\*/decode_base,= cached_20/' varies.csv
attempt tame 1 '^without .* DOES NOT FAIL$' 's/control,plain/control,cached_10/' expected.csv
attempt otherwise 1 '^without .* FAILS OTHERWISE$' 's/,63,65,/,100,200,/' expected.csv
attempt nothing_off 2 'no negative control' '/control/d' expected.csv
attempt unknown_case 2 "expected.csv:2: no case 'cahced_10'" 's/claim,cached_10.requests.ttft.0.,/claim,cahced_10.requests.ttft[0],/' expected.csv
attempt unknown_column 2 "expected.csv:2: .*no column 'tfft'" 's/cached_10.requests.ttft.0.,/cached_10.requests.tfft[0],/' expected.csv
attempt no_request 2 'no row 7' 's/ttft.0.,/ttft[7],/' expected.csv
attempt many_values 2 'gives 2 values' 's/cached_10.requests.ttft.0.,/cached_10.requests.ttft,/' expected.csv
attempt unit 2 "unit 'msec' is not one of" 's/,ms,G1,,closed form/,msec,G1,,closed form/' expected.csv
attempt no_band 2 'a claim needs lower or upper' 's/64,-0.1%,+0.1%/64,,/' expected.csv
attempt code 2 "not understood" 's/cached_10.requests.ttft.0.,/__import__(1),/' expected.csv
attempt case_twice 2 "cases.csv:3: 'cached' is there twice" 's/cached_${step}/cached/' cases.csv
attempt bad_scenario 2 "did you mean 'decode_base'" 's/set$/set/; s/compute.decode_base/compute.decode_bse/' cases.csv
attempt header 2 'the header must be' '1,2s/case,scenario/name,scenario/' cases.csv
[ $failed = 0 ] && echo "the runner tells what holds, what is tuned, and what is wrong"
exit $failed
