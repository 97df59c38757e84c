#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the defaults of models/compute/roofline.c come from.

    models/fit_efficiency.py [GROUNDTRUTH] [--json]

For each GPU of GROUNDTRUTH/ops (default ../shared/groundtruth): the median of roofline time / measured time over
large shapes, and the median measured time of tiny ones. The default of a parameter is the median over the GPUs,
rounded. Filters are the ones docs/models.md states. Standard library only.
"""
import csv
import gzip
import json
import os
import sys
from statistics import median

GPUS = ["a100_sxm", "h100_sxm", "h200_sxm", "l40s", "rtx_pro_6000_server"]


def rows(path):
    if not os.path.exists(path):
        return []
    with gzip.open(path, "rt") as f:
        return list(csv.DictReader(f))


def seconds(row):
    return float(row["latency_ms"]) * 1e-3


def gemm(table, dtype, peak, bandwidth):
    """Compute share, memory share, start-up seconds of y[m,n] = x[m,k] w[k,n]."""
    width = 2 if dtype == "bfloat16" else 1
    compute, memory, tiny = [], [], []
    for row in table:
        if row["dtype"] != dtype:
            continue
        m, n, k, t = int(row["m"]), int(row["n"]), int(row["k"]), seconds(row)
        if min(m, n, k) >= 2048:
            compute.append(2 * m * n * k / peak / t)
        if m <= 16 and n * k * width >= 64e6:
            memory.append((width * n * k + width * m * k + 2 * m * n) / bandwidth / t)
        if m <= 16 and n * k * width <= 1 << 20:
            tiny.append(t)
    return compute, memory, tiny


def moe(table, peak, bandwidth):
    """Compute share of bf16 experts where the roofline says compute bound."""
    shares = []
    for row in table:
        if row["dtype"] != "bfloat16" or row["moe_ep"] != "1" or int(row["tokens"]) < 8192:
            continue
        tokens, hidden, topk, experts = (int(row[c]) for c in ("tokens", "hidden", "topk", "experts"))
        inter = int(row["inter"]) / int(row["moe_tp"])
        flops = tokens * topk * 6 * hidden * inter
        moved = 2 * (experts * 3 * hidden * inter + tokens * topk * (2 * hidden + 3 * inter))
        if flops / peak > moved / bandwidth:
            shares.append(flops / peak / seconds(row))
    return shares


def plain(table):
    return [r for r in table if r["attn_dtype"] == r["kv_dtype"] == "bfloat16" and r["head_dim"] == "128"
            and r["window"] == "0"]


def prefill(table, peak):
    shares = []
    for row in plain(table):
        batch, isl, heads = int(row["batch"]), int(row["isl"]), int(row["heads"])
        if isl >= 4096 and batch * heads >= 16:
            shares.append(batch * heads * 4 * 128 * isl * (isl + 1) / 2 / peak / seconds(row))
    return shares


def decode(table, bandwidth):
    """Memory share after the start-up time, and the start-up time."""
    table = plain(table)
    tiny = [seconds(r) for r in table if int(r["batch"]) * int(r["kv_len"]) * int(r["kv_heads"]) < 200]
    shares = []
    for row in table:
        batch, length, heads, kv_heads = (int(row[c]) for c in ("batch", "kv_len", "heads", "kv_heads"))
        moved = batch * (length + 1) * kv_heads * 128 * 2 * 2
        if moved >= 256e6 and kv_heads >= 4 and 4 <= heads / kv_heads <= 16:
            shares.append(moved / bandwidth / (seconds(row) - median(tiny)))
    return shares, tiny


def allreduce(table, link):
    """Bus-bandwidth share and start-up seconds, of vLLM's all-reduce in CUDA graphs."""
    shares, tiny = [], []
    for row in table:
        gpus, size = int(row["gpus"]), int(row["bytes"])
        if row["mode"] == "graph" and size == 64 << 20:
            shares.append(2 * (gpus - 1) / gpus * size / link / seconds(row))
        if row["mode"] == "graph" and size == 8 << 10:
            tiny.append(seconds(row))
    return shares, tiny


def fit(root):
    with open(os.path.join(root, "ops", "systems.csv")) as f:
        sheets = {r["system"]: r for r in csv.DictReader(f)}
    found = {}

    def put(key, gpu, values):
        if values:
            found.setdefault(key, {})[gpu] = median(values)

    for gpu in GPUS:
        sheet = sheets[gpu]
        bandwidth, peak = float(sheet["mem_bw_bytes_s"]), float(sheet["bfloat16_tc_flops"])
        link = float(sheet["intra_node_bw_bytes_s"])
        table = {name: rows(os.path.join(root, "ops", gpu, name + ".csv.gz"))
                 for name in ("gemm", "moe", "attention_context", "attention_generation", "allreduce_vllm")}
        compute, memory, tiny = gemm(table["gemm"], "bfloat16", peak, bandwidth)
        put("gemm_compute_efficiency", gpu, compute)
        put("gemm_memory_efficiency", gpu, memory)
        put("kernel_latency", gpu, tiny)
        if sheet["fp8_tc_flops"]:
            put("gemm_fp8_efficiency", gpu, gemm(table["gemm"], "fp8", float(sheet["fp8_tc_flops"]), bandwidth)[0])
        put("moe_compute_efficiency", gpu, moe(table["moe"], peak, bandwidth))
        put("attention_compute_efficiency", gpu, prefill(table["attention_context"], peak))
        shares, tiny = decode(table["attention_generation"], bandwidth)
        put("attention_memory_efficiency", gpu, shares)
        put("attention_latency", gpu, tiny)
        shares, tiny = allreduce(table["allreduce_vllm"], link)
        put("link_efficiency", gpu, shares)
        put("allreduce_latency", gpu, tiny)
    return found


def main():
    args = [a for a in sys.argv[1:] if a != "--json"]
    found = fit(args[0] if args else "../shared/groundtruth")
    if "--json" in sys.argv:
        print(json.dumps({key: median(by_gpu.values()) for key, by_gpu in sorted(found.items())}))
        return
    print("%-30s %10s  %s" % ("parameter", "median", "  ".join("%9s" % g[:9] for g in GPUS)))
    for key, by_gpu in found.items():
        scale, unit = (1e6, "us") if key.endswith("latency") else (1, "")
        cells = ["%9.3f" % (by_gpu[g] * scale) if g in by_gpu else "%9s" % "-" for g in GPUS]
        print("%-30s %8.3f%-2s  %s" % (key, median(by_gpu.values()) * scale, unit, "  ".join(cells)))


main()
