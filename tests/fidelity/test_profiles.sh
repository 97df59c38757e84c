#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The profiles that ship are what `calib import` makes of the published tables, byte for byte, and meet points held out
# of the fit, whichever those are.
. "$(dirname "$0")/../support/shell.sh"
tables=$shared/groundtruth/profiles/vllm-0.19
needs "$tables"
for profile in models/profiles/*_tp[0-9]*; do
    name=$(basename "$profile") tp=${profile##*_tp}
    case $name in
        rtx-pro-6000_llama-3.1-8b_tp1) from=RTXPRO6000/Llama-3.1-8B ;;
        rtx-pro-6000_qwen3-32b_tp[12]) from=RTXPRO6000/Qwen3-32B ;;
        rtx-pro-6000_qwen3-30b-a3b_tp1) from=RTXPRO6000/Qwen3-30B-A3B-Instruct-2507 ;;
        rtx-4090_llama-3.1-8b_tp1) from=RTX4090/Llama-3.1-8B ;;
        *) fail "$name: this test does not know its tables"; continue ;;
    esac
    for seed in 1 2 3; do
        "$KVSIM" calib import vllm-layers "$tables/$from/bf16/tp$tp" --tp $tp -o "$work/$name" --seed $seed \
            --source "casys-kaist/LLMServingSim, profiler 1.0.0" --commit 5daddb2 --licence MIT >"$work/out" || failed=1
        [ $seed != 1 ] || diff -r "$work/$name" "$profile" || fail "$name is not what import makes"
        # Hold-out errors in percent: guards against a worse fit, somewhat above the worst of the three seeds; claims are
        # in docs/calibration.md. The tables of the RTX 4090 are sparser.
        awk -v name="$name seed $seed" -v sparse=$([[ $name == rtx-4090* ]] && echo 1 || echo 0) 'BEGIN {
                 most["dense"] = most["head"] = 3; most["prefill"] = sparse ? 7 : 6; most["decode"] = sparse ? 10 : 4
                 most["mixed"] = 10; most["shares"] = sparse ? 13 : 7 }
             $1 in most { printf "%s %s %.2f %%\n", name, $1, $3; seen++
                          if ($3 > most[$1]) { print "FAIL: more than " most[$1]; bad = 1 } }
             END { exit bad || seen != 6 }' "$work/out" || failed=1
    done
done
exit $failed
