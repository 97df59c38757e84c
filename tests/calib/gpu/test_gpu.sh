#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim-calib-gpu as a user meets it: what it would measure, what it refuses, and what it says where there is no GPU.
# Where there is one, a short real run: samples that are read again, and going on.
. "$(dirname "$0")/../../support/shell.sh"

# Without nvcc the program is left out, and make says so.
make_says=$(env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -n NVCC= calib 2>&1)
grep -q "kvsim-calib-gpu is left out: it needs cuda" <<<"$make_says" || fail "make NVCC= does not say what is left out"
! grep -q "calib/cuda\|calib/gpu" <<<"$make_says" || fail "make NVCC= builds some of it"

gpu=$(dirname "$KVSIM")/kvsim-calib-gpu
if [ ! -x "$gpu" ]; then
    "$KVSIM" calib gpu --list >"$work/out" 2>&1
    [ $? = 77 ] || fail "calib gpu without its program is not exit 77: $(cat "$work/out")"
    [ $failed = 0 ] || exit 1
    skip "$gpu is not built (nvcc or cublasLt.h is missing)"
fi

# CODE TEXT ARGS...
refused() {
    local code=$1 text=$2
    shift 2
    timeout 30 "$gpu" "$@" >"$work/out" 2>"$work/err" </dev/null
    [ $? = "$code" ] || fail "$*: not exit $code: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || fail "$*: '$(cat "$work/err")' has no '$text'"
    [ ! -s "$work/out" ] || fail "$*: something on stdout"
}
refused 2 "-o FOLDER is missing"
refused 2 "unknown value 'gem'; did you mean 'gemm'?" --list --ops gem
refused 2 "unknown value 'int8'" --list --dtype int8
refused 2 "--budget: '8' needs a unit" --list --budget 8
refused 3 "llama-3.1-8" --list --model llama-3.1-8
refused 2 "did you mean '--model'?" --list --modell x

"$gpu" --list >"$work/all" || fail "--list: exit $?"
points=$(sed -n 's/^all *\([0-9]*\) points.*/\1/p' "$work/all")
[ "${points:-0}" -gt 3000 ] || fail "--list: only '$points' points"
[ "$(grep -c '^[0-9]' "$work/all")" = "$points" ] || fail "--list: not as many lines as points"
grep '^[0-9]' "$work/all" | cut -d' ' -f1 | sort -nc || fail "--list: not by rank"
[ "$(grep '^[0-9]' "$work/all" | cut -d' ' -f2- | sort | uniq -d | wc -l)" = 0 ] || fail "--list: a point twice"
for op in gemm prefill decode rmsnorm rotary scatter_kv silu_mul write_kv copy all_reduce sm_share two_layers; do
    grep -q "^$op  *[0-9]* points" "$work/all" || fail "--list: no $op"
done
"$KVSIM" calib gpu --list --model llama-3.1-8b --ops gemm,decode --dtype bf16 >"$work/some" || fail "kvsim calib gpu --list"
grep -q "^0 gemm bf16 1 x 6144 x 4096$" "$work/some" || fail "--model: no product of queries, keys and values"
! grep -q "fp8\|prefill\|copy" "$work/some" || fail "--ops, --dtype: more than was chosen"

"$gpu" -o "$work/samples" --model llama-3.2-1b --budget 20s --visits 1 >"$work/out" 2>"$work/err"
code=$?
if [ $code = 77 ]; then
    [ "$(wc -l <"$work/err")" = 1 ] || fail "more than one line without a GPU: $(cat "$work/err")"
    grep -q "no CUDA driver is here\|too old\|no device\|needs\? 8.0\|cannot be used" "$work/err" || fail "$(cat "$work/err")"
    [ ! -e "$work/samples" ] || fail "a folder was made for nothing"
else
    [ $code = 0 ] || fail "a run on this GPU: exit $code: $(cat "$work/err")"
    grep -q "^rmsnorm,1,2048," "$work/samples/elementwise.csv" || fail "no rmsnorm of a row"
    grep -q "kvsim calib import samples" "$work/out" || fail "it does not say what to do next"
    before=$(wc -l <"$work/samples/visits.csv")
    "$gpu" -o "$work/samples" --model llama-3.2-1b --budget 5s --visits 1 >"$work/out" 2>"$work/err" || fail "going on"
    [ "$(wc -l <"$work/samples/visits.csv")" -ge "$before" ] || fail "visits were lost"
fi
exit $failed
