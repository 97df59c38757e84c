#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Raw samples of operators, made here by a formula (no GPU): import, info, predict, check, a run; and wrong samples.
. "$(dirname "$0")/../../support/shell.sh"

# A GPU of 100 TFLOP/s and 1 TB/s whose kernels take 3 us and the longer of both roofs.
make_samples() {
    mkdir -p "$1"
    cat >"$1/samples.yaml" <<EOF
kvsim_samples: 1
unit: us
gpu: h100-sxm
sms: 132
label: imported
date: 2020-01-02
driver: ""
cuda: ""
clocks: ""
engine: a formula
origin: tests/calib/gpu
commit: none
licence: Apache-2.0
EOF
    awk -v out="$1" 'function us(flops, bytes) {
            t = flops / 1e8; if (bytes / 1e6 > t) t = bytes / 1e6; return sprintf("%.4f,0,5", 3 + t) }
        BEGIN {
        f = out "/gemm.csv"; print "dtype,m,n,k,time_us,spread_us,samples" >f
        for (m = 1; m <= 4096; m *= 4) for (n = 1024; n <= 32768; n *= 2) for (k = 1024; k <= 16384; k *= 2)
            print "bf16," m "," n "," k "," us(2 * m * n * k, 2 * (m * k + n * k + m * n)) >f
        f = out "/attention_prefill.csv"
        print "kv_dtype,batch,new_tokens,cached_tokens,heads,kv_heads,head_dim,window,time_us,spread_us,samples" >f
        for (s = 16; s <= 4096; s *= 2) for (h = 8; h <= 32; h *= 2) for (g = 1; g <= 8; g *= 2)
            print "bf16,1," s ",0," h "," g ",128,0," us(256 * h * s * s, 512 * s * (h + g)) >f
        f = out "/attention_decode.csv"
        print "kv_dtype,batch,kv_tokens,heads,kv_heads,head_dim,window,time_us,spread_us,samples" >f
        for (b = 1; b <= 64; b *= 4) for (s = 16; s <= 16384; s *= 4) for (h = 8; h <= 32; h *= 2)
            for (g = 1; g <= 8; g *= 2) print "bf16," b "," s "," h "," g ",128,0," us(0, 512 * b * s * g) >f
        f = out "/two_layers.csv"
        print "model,batch,new_tokens,cached_tokens,direct,operators_us,time_us,spread_us,samples" >f
        print "m,1,1,100,0,90,100,0,5\nm,1,1,100,1,90,140,0,5\nm,1,2048,0,0,900,1000,0,5\nm,1,2048,0,1,900,5000,0,5" >f
        print "m,64,1,100,0,190,200,0,5\nm,64,1,100,1,190,240,0,5" >f
        f = out "/all_reduce.csv"; print "mode,ranks,bytes,time_us,spread_us,samples" >f
        for (r = 2; r <= 8; r *= 2) for (n = 1024; n <= 1048576; n *= 4) print "graph," r "," n "," us(0, n) >f
    }'
}

make_samples "$work/s"
"$KVSIM" calib import samples "$work/s" -o "$work/p" --epochs 20 >"$work/out" 2>&1 ||
    { cat "$work/out"; fail "import"; }
"$KVSIM" calib info "$work/p" >"$work/info" || fail "info"
cmp "$work/out" "$work/info" || fail "import and info tell different things"
# A profile prices the samples it was made of.
"$KVSIM" calib predict "$work/p" "$work/s/gemm.csv" -o "$work/pred.csv" || fail "predict"
awk -F, 'NR > 1 { e = 1e3 * $8 / $5 - 1; sum += e < 0 ? -e : e; n++ }
     END { printf "products: %d rows, mean error %.1f %%\n", n, 100 * sum / n; exit n != 210 || sum / n > 0.1 }' \
    "$work/pred.csv" || fail "the profile does not meet its samples"
# The same samples and seed make the same profile; check fits again, without some.
"$KVSIM" calib check "$work/s" --only gemm --epochs 20 --bar 15 || fail "check"
"$KVSIM" calib check "$work/s" --only gemm --epochs 20 --bar 0 >/dev/null 2>&1
[ $? = 9 ] || fail "an error past the bar is not exit code 9"
# Tables of aiconfigurator's form, checked as they lie; which rows are held out is asked for, and what is held out told.
mkdir "$work/a"
for t in gemm attention_prefill:attention_context attention_decode:attention_generation; do
    sed '1{s/time_us/latency_ms/;s/new_tokens,cached_tokens/isl,prefix/;s/kv_tokens/kv_len/}' "$work/s/${t%:*}.csv" \
        >"$work/a/${t#*:}.csv"
done
"$KVSIM" calib check "$work/a" --gpu h100-sxm --sms 132 --only gemm --holdout points --epochs 20 --seed 2 --bar 15 \
    --rows "$work/held.csv" >"$work/out" && [ "$(wc -l <"$work/out")" = 2 ] ||
    { cat "$work/out"; fail "check of aiconfigurator's tables"; }
awk -F, -v says="$(awk '$2 == "points" { print $3, $7 }' "$work/out")" '
    NR > 1 { e = $7 / $6 - 1; sum += e < 0 ? -e : e; n++ }
    END { got = sprintf("%.2f %d", 100 * sum / n, n); print "held rows: " got "; told: " says; exit got != says }' \
    "$work/held.csv" || fail "the held rows have another error than is told"
# Collectives are imported from NCCL's tables, in numbers of 16 bits: 5 us (7 us scattered) and bytes at 10 GB/s.
awk 'BEGIN { print "op,dtype,gpus,elements,bytes,latency_ms"
        split("all_gather reduce_scatter all_reduce", op); us["all_gather"] = 5; us["reduce_scatter"] = 7
        for (o = 1; o <= 3; o++) for (wide = 1; wide <= 2; wide++) for (r = 2; r <= 4; r *= 2)
            for (n = 512; n <= 67108864; n *= 2)
                printf "%s,%s,%d,%d,%d,%.6f\n", op[o], wide == 2 ? "half" : "int8", r, n / wide, n,
                       op[o] in us && wide == 2 ? (us[op[o]] + n / 1e4) / 1e3 : 1 }' >"$work/a/nccl.csv"
"$KVSIM" calib import aiconfigurator "$work/a" -o "$work/pa" --gpu h100-sxm --sms 132 --epochs 1 >"$work/out" 2>&1 ||
    { cat "$work/out"; fail "import of aiconfigurator's tables"; }
for op in all_gather:5 reduce_scatter:7; do
    awk -F, -v least="${op#*:}" 'NR == 1 { next } !rows[$1]++ && $2 != 512 || $2 > 67108864 { bad = 1 }
        { e = $3 / (least + $2 / 1e4) - 1; if (e > 0.03 || e < -0.03) bad = 1; n++ }
        END { exit bad || n >= 36 || rows[2] < 2 || rows[2] != rows[4] }' "$work/pa/${op%:*}.csv" ||
        { cat "$work/pa/${op%:*}.csv"; fail "${op%:*} is not what was measured"; }
    grep -q "^${op%:*} .* 2 to 4 GPUs, up to 67108864 bytes" "$work/out" || fail "${op%:*} is not told"
done
[ ! -e "$work/pa/all_reduce.csv" ] || fail "an all-reduce that vLLM's table does not have"
cp -r "$work/pa" "$work/pb" &&
    sed '/^2,/s/,[0-9.]*$/,99/' "$work/pa/all_gather.csv" >"$work/pb/all_gather.csv"
"$KVSIM" calib diff "$work/pa" "$work/pb" | grep -q '^all_gather  *2 GPUs, 4096 bytes: 5.4.* us, 99 us' ||
    fail "diff of all-gathers"
"$KVSIM" calib check "$work/s" --rows "$work/held.csv" >"$work/out" 2>&1 && fail "--rows of all tables: taken"
"$KVSIM" calib check "$work/a" --only gemm >"$work/out" 2>&1 && fail "tables without a GPU: taken"
"$KVSIM" calib check "$work/s" --holdout rows >"$work/out" 2>&1 && fail "--holdout rows: taken"
# What no row was held out for has no error, and not one of nothing.
awk '/^holdout_shapes:/ { all = 1 } all { sub(/: 0\..*/, ": 0") } { print }' "$work/p/profile.yaml" >"$work/y" &&
    cp -r "$work/p" "$work/p0" && cp "$work/y" "$work/p0/profile.yaml"
"$KVSIM" calib info "$work/p0" | grep -q '^gemm_bf16 .* %  *- *m ' || fail "an error that nobody measured is told as 0"

# diff: nothing between a profile and itself; a changed error, time and origin are told.
"$KVSIM" calib diff "$work/p" "$work/p" >"$work/out" && [ "$(wc -l <"$work/out")" = 1 ] ||
    { cat "$work/out"; fail "diff of a profile and itself"; }
cp -r "$work/p" "$work/q"
sed -i 's/^engine: .*/engine: another/' "$work/q/profile.yaml"
sed -i 's/^roof,bytes_per_us,.*/roof,bytes_per_us,500000/' "$work/q/attention_decode.csv"
"$KVSIM" calib diff "$work/p" "$work/q" >"$work/out"
grep -q '^engine  *a formula  *another' "$work/out" && grep -q '^attention_decode .*times +' "$work/out" &&
    ! grep -q gemm "$work/out" || { cat "$work/out"; fail "diff"; }
"$KVSIM" calib diff "$work/p" "$work/s" >"$work/out" 2>&1 && fail "diff with samples: taken"

# A run: one request of Llama-3.1-8B; 1 GPU, and 2 with all-reduce. At
# least the weights are read once a token, and a prompt
# of 2,048 tokens is 32 TFLOP of products.
printf '{"input_length": 2048, "output_length": 11, "timestamp": 0, "hash_ids": [1, 2, 3, 4]}\n' >"$work/t.jsonl"
run() {
    cat >"$work/run.yaml" <<EOF
kvsim: 1
name: operators
model: {use: llama-3.1-8b, dtype: $2, kv_dtype: bf16}
cluster: {nodes: {count: 1, gpus: 2, gpu: ${3:-h100-sxm}}, instances: {count: 1, tp: $1}}
compute: {kind: table, profile: ${4:-$work/p}}
tiers: [{name: hbm, kind: hbm, capacity: auto}]
workload: {trace: $work/t.jsonl, format: mooncake}
EOF
    "$KVSIM" run "$work/run.yaml" -o "$work/r.h5" --force >"$work/table" 2>"$work/err"
}
mean_ms() { awk -v name="$1" '$1 == name { print $3 == "s" ? 1000 * $2 : $3 == "us" ? $2 / 1000 : $2 }' "$work/table"; }
run 1 bf16 || { cat "$work/err"; fail "run"; }
first=$(mean_ms TTFT)
awk -v a="$first" 'BEGIN { exit !(a > 270 && a < 380) }' || fail "TTFT: $first ms"
one=$(mean_ms TPOT)
run 2 bf16 || { cat "$work/err"; fail "run with tp 2"; }
two=$(mean_ms TPOT)
echo "TPOT: $one ms, with tp 2 $two ms"
awk -v a="$one" -v b="$two" 'BEGIN { exit !(a > 13 && a < 22 && b < 0.75 * a && b > 0.4 * a) }' || fail "TPOT"
# Two layers of ten operators that decode take 10 us more than the operators in a graph, 50 launched one by one: 0.5 and
# 2.5 us each, so the step of 32 layers and four kernels besides takes 324 * 2 us more.
grep -q '^kernel_gap_graph: 500ns$' "$work/p/profile.yaml" && grep -q '^kernel_gap_eager: 2.5us$' "$work/p/profile.yaml" &&
    grep -q "^each kernel  *0.50 us more in a layer than by itself, 2.50 us without a CUDA graph$" "$work/info" ||
    fail "kernel gaps: $(cat "$work/p/profile.yaml" "$work/info")"
run 1 bf16 h100-sxm "$work/p, enforce_eager: true" || { cat "$work/err"; fail "run with enforce_eager"; }
awk -v a="$one" -v b="$(mean_ms TPOT)" 'BEGIN { exit !(b - a > 0.64 && b - a < 0.66) }' ||
    fail "enforce_eager: TPOT $one ms, then $(mean_ms TPOT) ms"
refused() { "${@:2}"; [ $? != 0 ] && grep -q "$1" "$work/err" || { cat "$work/err"; fail "not refused: $1"; }; }
refused "products in fp8 were not measured" run 1 fp8
sed '/^kernel_gap/d' "$work/p/profile.yaml" >"$work/p0/profile.yaml"
refused "enforce_eager: layers without CUDA graphs were not measured" \
    run 1 bf16 h100-sxm "$work/p0, enforce_eager: true"
refused "measured on h100-sxm; this is h200-sxm" run 1 bf16 h200-sxm

# Wrong samples: file, row, reason.
wrong() {
    rm -rf "$work/w"
    cp -r "$work/s" "$work/w"
    sed -i "$2" "$work/w/$1"
    "$KVSIM" calib check "$work/w" >"$work/out" 2>"$work/err" && fail "$1, $2: taken"
    grep -q "$1:$3" "$work/err" || { cat "$work/err"; fail "$1, $2: expected $3"; }
}
wrong gemm.csv '1s/,k,/,kk,/' "1: no column 'k'"
wrong gemm.csv '1s/$/,more/' "1: 8 columns, expected 7"
wrong gemm.csv '5s/,[0-9.]*,0,5/,-1,0,5/' "5: time_us: '-1'"
wrong gemm.csv '4{h;d};5{G}' "5: rows must be sorted"
wrong gemm.csv '4p' "5: the same key"
wrong two_layers.csv '1s/,operators_us,/,sum_us,/' "1: no column 'operators_us'"
wrong two_layers.csv '3s/,100,1,/,100,x,/' "3: direct 'x' is not a whole number"
wrong samples.yaml 's/unit: us/unit: ms/' "2:7: unit 'ms', expected us"
wrong samples.yaml 's/samples: 1/samples: 9/' "1:16: samples of version 9"
sed -i '12s/ / x/' "$work/p/gemm_bf16.csv"
refused "gemm_bf16.csv:12" run 1 bf16
exit $failed
