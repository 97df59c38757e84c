#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""plot_objectcache.py RESULTS OUT: the figures of configs/systems/objectcache, from what `make reproduce` left.
plot_objectcache.py --slack OUT.png REFERENCE.h5 RUN.h5..: added TTFT over the slack of stall_opt_cal, from a sweep.

    make reproduce SYSTEM=objectcache
    analysis/plot_objectcache.py build/reproduce/objectcache figures

RESULTS/*.h5 become OUT/ttft.png (by context, hit and delivery), OUT/added.png (by policy and cap, with Table A12),
OUT/slack.png (over the slack) and OUT/layers.png (fetch, compute and stall of each layer).
"""
import csv
import os
import sys

import h5py
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

import kvsim_io  # noqa: E402
import reproduce  # noqa: E402
import results_expr  # noqa: E402

POLICIES = ("equal", "kv_prop", "bw_prop", "stall_opt", "stall_opt_cal")
DELIVERIES = (("cw", "whole objects"), ("lw", "layer by layer"), ("local", "layer by layer, host memory"))
EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "configs/systems/objectcache/expected.csv")


def columns(path, *names):
    results = results_expr.Results(path)
    return [results.column("requests", name).values for name in names]


def total(path):
    return columns(path, "ttft")[0].sum()


def save(figure, path):
    figure.savefig(path, dpi=150)
    plt.close(figure)
    print("wrote", path)


def plot_ttft(results, out):
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
    for name, label in DELIVERIES:
        path = os.path.join(results, name + ".h5")
        ttft, context = columns(path, "ttft", "prompt_tokens")
        with h5py.File(path, "r") as file:
            sources = kvsim_io.values(file["requests/prompt_tokens_by_source"])
        hit = 1 - sources[:, -1] / context
        for panel, share in zip(axes, np.unique(hit)):
            chosen = hit == share
            panel.plot(context[chosen], ttft[chosen], marker="o", label=label)
            panel.set(title="%g %% cached" % (100 * share), xlabel="context [tokens]", xscale="log", yscale="log")
            panel.set_xscale("log", base=2)
            panel.grid(True, which="both", alpha=0.3)
    axes[0].set_ylabel("TTFT [s]")
    axes[0].legend(fontsize=8)
    save(figure, out)


def published():
    """metric -> published value"""
    with open(EXPECTED, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {row["metric"]: float(row["published"]) for row in rows if row["published"]}


def plot_added(results, out):
    known, free = published(), total(os.path.join(results, "free_four.h5"))
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for panel, load, cap in zip(axes, "AB", (80, 50)):
        at = np.arange(len(POLICIES))
        for shift, prefix, label in ((-0.2, "", "one profile for all"), (0.2, "fit_", "best fit of this table")):
            values = [1e3 * (total(os.path.join(results, "%s%s_%s.h5" % (prefix, load, policy))) - free)
                      for policy in POLICIES]
            panel.bar(at + shift, values, 0.38, label=label)
        panel.plot(at, [known["added_%s_%s" % (load, policy)] for policy in POLICIES], "k_", markersize=24,
                   markeredgewidth=2, label="Table A12")
        panel.set(title="workload %s: four requests, %d Gbps" % (load, cap), xticks=at, yscale="log")
        panel.set_xticklabels(POLICIES, fontsize=8)
        panel.grid(True, axis="y", which="both", alpha=0.3)
    axes[0].set_ylabel("added TTFT, sum [ms]")
    axes[0].legend(fontsize=8)
    save(figure, out)


def slack_of(path):
    """Slack of a run in Gbps, out of its resolved scenario."""
    found = reproduce.parameters(results_expr.Results(path).text("meta/resolved_yaml"))
    text = next((value for key, value in found.items() if key.startswith("transfer.") and key.endswith("delta")), None)
    if text is None:
        sys.exit("%s: its transfer policy has no delta" % path)
    return float(text.removesuffix("Gbps"))


def plot_slack(curves, free, out):
    """curves: label -> paths"""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for label, paths in curves.items():
        points = sorted((slack_of(path), 1e3 * (total(path) - free)) for path in paths)
        axes.plot(*zip(*points), marker="o", label=label)
    axes.set(xlabel="slack [Gbps]", ylabel="added TTFT, sum [ms]", ylim=(0, None))
    axes.grid(True, alpha=0.3)
    axes.legend()
    save(figure, out)


def plot_layers(results, out, case="B_stall_opt_cal", request=1):
    with h5py.File(os.path.join(results, case + ".h5"), "r") as file:
        group = file["layers"]
        row = list(group["request"][...]).index(request)
        came, start, end = (kvsim_io.values(group[name])[row] for name in ("fetch_end", "compute_start", "compute_end"))
    came, start, end = (1e3 * x for x in (came, start, end))
    layer = np.arange(len(start))
    # With one layer of look-ahead a layer's delivery begins when the layer before begins to compute.
    begin = np.concatenate([[0], np.maximum(start[:-1], came[:-1])])
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.barh(layer, came - begin, left=begin, height=0.35, align="edge", label="delivery")
    axes.barh(layer, end - start, left=start, height=-0.35, align="edge", label="compute")
    idle = np.concatenate([[0], start[1:] - end[:-1]])
    axes.barh(layer, idle, left=start - idle, height=-0.35, align="edge", color="lightgray", label="stall")
    axes.set(xlabel="since arrival [ms]", ylabel="layer", title="%s, request %d" % (case, request))
    axes.invert_yaxis()
    axes.legend()
    save(figure, out)


def main(arguments):
    if len(arguments) >= 4 and arguments[0] == "--slack":
        plot_slack({"%d runs" % len(arguments[3:]): arguments[3:]}, total(arguments[2]), arguments[1])
        return 0
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    results, out = arguments
    os.makedirs(out, exist_ok=True)
    plot_ttft(results, os.path.join(out, "ttft.png"))
    plot_added(results, os.path.join(out, "added.png"))
    curves = {"workload %s, %d Gbps" % (load, cap): [os.path.join(results, "slack_%s_%d.h5" % (load, delta))
                                                     for delta in range(11)] for load, cap in (("A", 80), ("B", 50))}
    plot_slack(curves, total(os.path.join(results, "free_four.h5")), os.path.join(out, "slack.png"))
    plot_layers(results, os.path.join(out, "layers.png"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
