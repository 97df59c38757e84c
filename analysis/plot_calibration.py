#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""plot_calibration.py OUT.html PROFILE=TABLES...: a page of GPU profiles against the times they were made of.

    analysis/plot_calibration.py calibration.html h200-sxm=../shared/groundtruth/ops/h200_sxm

PROFILE: a name of models/profiles, or a path with a slash. TABLES: the folder that `kvsim calib import` took, raw
samples, tables of aiconfigurator or Vidur (by their short names of columns), or (profiles of layers) those of
LLMServingSim's profiler. For each table the page shows measured against predicted times, errors as a histogram, and
errors over the work of a call, which is the domain. Of layers: dense ones, experts, head, attention of chunks, of
decodes and of both in one step, and of decodes of two lengths, predicted from the times measured for their mean and
longest. Points are those of the fit; the errors of points that a fit had not seen are in the text above them, from
`kvsim calib info`. OUT.html "-": mean errors alone, no page, and no matplotlib needed for it.
KVSIM names the program (./kvsim). Exit code 1: a profile or a table is wrong.
"""
import csv
import glob
import gzip
import html
import io
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

KVSIM = os.environ.get("KVSIM", "./kvsim")
POINTS_MOST = 200_000
ERROR_MOST = 50     # %, the widest that is shown

# File of a table in either form: what it is called here, the parts it feeds by type, the key that stands for its work.
PARTS = {"bf16": "bf16", "bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block"}
TABLES = (
    (("gemm",), "products", "gemm_%s", "dtype", ("m",), "rows of a product"),
    (("attention_prefill", "attention_context"), "attention of prompts", "attention_prefill", "kv_dtype",
     ("new_tokens", "isl"), "new tokens of a sequence"),
    (("attention_decode", "attention_generation"), "attention of decodes", "attention_decode", "kv_dtype",
     ("kv_tokens", "kv_len"), "tokens in the cache of a sequence"),
    (("moe",), "experts, evenly chosen", "moe_%s", "dtype", ("tokens",), "tokens"),
)

UNITS_US = {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6, "min": 6e7, "h": 3.6e9, "d": 8.64e10}

# Operators of one layer, and how often each runs in it; the others run once a step.
IN_LAYER = {"layernorm": 2, "qkv_proj": 1, "qk_norm": 1, "rotary_emb": 1, "o_proj": 1, "gate_up_proj": 1, "act_fn": 1,
            "down_proj": 1}


def folder_of(profile):
    return profile if "/" in profile else os.path.join("models", "profiles", profile)


def run(*words):
    done = subprocess.run([KVSIM, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit("kvsim %s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout


def table_at(folder, name):
    """Rows of NAME.csv or NAME.csv.gz as dicts, or None."""
    for path, opened in ((name + ".csv", open), (name + ".csv.gz", gzip.open)):
        path = os.path.join(folder, path)
        if os.path.exists(path):
            with opened(path, "rt", newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
    return None


def vidur(folder):
    """Products of Vidur's tables, as rows of gemm: what one GPU of tp computes for one layer."""
    rows = []
    for path in sorted(glob.glob(os.path.join(folder, "*", "mlp.csv*"))):
        for row in table_at(os.path.dirname(path), "mlp"):
            m, tp, heads, kv, wide, inner, gated = (int(row[k]) for k in (
                "tokens", "tp", "n_head", "n_kv_head", "n_embd", "n_ffn", "gated"))
            for n, k, ms in (((heads + 2 * kv) // tp * (wide // heads), wide, "attn_pre_proj_ms"),
                             (wide, wide // tp, "attn_post_proj_ms"),
                             ((1 + gated) * inner // tp, wide, "mlp_up_proj_ms"),
                             (wide, inner // tp, "mlp_down_proj_ms")):
                rows.append({"dtype": "bf16", "m": m, "n": n, "k": k, "latency_ms": row[ms]})
    return rows or None


def operators(profile, folder):
    """(title, label of the axis, work, measured us, predicted us) of each table."""
    for names, title, part, kind, keys, label in TABLES:
        rows = next((r for r in (table_at(folder, n) for n in names) if r is not None), None)
        if rows is None and names == ("gemm",):
            rows = vidur(folder)
        there = {t for t, p in PARTS.items() if os.path.exists(
            os.path.join(folder_of(profile), (part % p if "%" in part else part) + ".csv"))}
        rows = [r for r in rows or () if r[kind] in there and r.get("distribution", "balanced") == "balanced"]
        if not rows:
            continue
        with tempfile.TemporaryDirectory() as work:
            shapes, priced = os.path.join(work, "shapes.csv"), os.path.join(work, "priced.csv")
            with open(shapes, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            run("calib", "predict", profile, shapes, "-o", priced)
            predicted = [1e3 * float(r["pred_ms"]) for r in table_at(work, "priced")]
        measured = [float(r["time_us"]) if "time_us" in r else 1e3 * float(r["latency_ms"]) for r in rows]
        key = next(k for k in keys if k in rows[0])
        yield title, label, [float(r[key]) for r in rows], measured, predicted


class Knots:
    """A table of a profile of layers: `value` over one or two keys, linear between knots."""

    def __init__(self, profile, name, *keys, value="time_us"):
        rows = table_at(folder_of(profile), name)
        self.axes = [np.array(sorted({float(r[k]) for r in rows})) for k in keys]
        self.at = np.empty([len(a) for a in self.axes])
        for row in rows:
            self.at[tuple(np.searchsorted(a, float(row[k])) for a, k in zip(self.axes, keys))] = float(row[value])

    def __call__(self, *point):
        """Values at points inside the knots (`inside`); at the first or last knot where they are not."""
        low, share = [], []
        for axis, x in zip(self.axes, point):
            x = np.clip(x, axis[0], axis[-1])
            i = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, max(len(axis) - 2, 0))
            width = axis[np.minimum(i + 1, len(axis) - 1)] - axis[i]
            low.append(i)
            share.append((x - axis[i]) / np.where(width > 0, width, 1))
        total = 0
        for corner in np.ndindex(*(2,) * len(point)):
            weight, index = 1, []
            for side, i, part, axis in zip(corner, low, share, self.axes):
                weight = weight * (part if side else 1 - part)
                index.append(np.minimum(i + side, len(axis) - 1))
            total = total + weight * self.at[tuple(index)]
        return total

    def inside(self, *point):
        return np.logical_and.reduce([x <= axis[-1] for axis, x in zip(self.axes, point)])


def needed(folder, name):
    rows = table_at(folder, name)
    if rows is None:
        sys.exit("%s: no table %s" % (folder, name))
    return rows


def columns_of(folder, name, *columns):
    """Columns of a table as arrays; an empty field is not a number."""
    rows = needed(folder, name)
    missing = [c for c in columns if c not in (rows[0] if rows else ())]
    if missing:
        sys.exit("%s: table %s has no column %s" % (folder, name, missing[0]))
    return [np.array([float(r[c]) if r[c] else np.nan for r in rows]) for c in columns]


def sums_of(folder, name, key, times):
    """Work and time of each step: the layers of one, each as often as `times` says."""
    steps = {}
    for row in needed(folder, name):
        steps.setdefault(float(row[key]), []).append(times.get(row["layer"], 0) * float(row["time_us"]))
    work = np.array(sorted(steps))
    return work, np.array([sum(steps[w]) for w in work])


def mixed_block_us(profile):
    """What a decode beside a chunk takes for each token of it."""
    with open(os.path.join(folder_of(profile), "profile.yaml"), encoding="utf-8") as file:
        found = re.search(r"^mixed_block: *([0-9.]+(?:e[-+]?[0-9]+)?)(%s)$" % "|".join(UNITS_US), file.read(), re.M)
    if not found:
        sys.exit("%s: profile.yaml has no mixed_block" % profile)
    return float(found[1]) * UNITS_US[found[2]]


def attention(profile, folder):
    """Attention of one layer: chunks alone, decodes alone, both in a step (the formula of docs/calibration.md)."""
    new, cached, count, length, us = columns_of(
        folder, "attention", "prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
    prefill, decode, mixed = (Knots(profile, "prefill", "new_tokens", "cached_tokens"),
                              Knots(profile, "decode", "sequences", "kv_tokens"),
                              Knots(profile, "mixed", "sequences", "kv_tokens"))
    take = (count == 0) & (new > 0) & prefill.inside(new, cached)
    yield "attention of prompts, one layer", "new tokens", new[take], us[take], prefill(new[take], cached[take])
    take = (new == 0) & (count > 0) & decode.inside(count, length)
    yield "attention of decodes, one layer", "sequences", count[take], us[take], decode(count[take], length[take])
    take = (new > 0) & (count > 0) & prefill.inside(new, cached) & mixed.inside(count, length)
    new, cached, count, length = new[take], cached[take], count[take], length[take]
    chunks, decodes = prefill(new, cached), mixed(count, length)
    added = Knots(profile, "shares", "sequences", value="added_permille")(count) / 1000
    predicted = (np.maximum(chunks, decodes) + mixed_block_us(profile) * count * new
                 + added * np.maximum(np.minimum(chunks, decodes) - prefill.at.flat[0], 0))
    yield "decodes beside a chunk, one layer", "sequences", count, us[take], predicted


def shares(profile, folder):
    """Decodes of two lengths: from the measured cost of their mean to that of the longest."""
    count, chunk, mean, most, us = columns_of(folder, "skew", "n", "pc", "t_mean_us", "t_max_us", "t_skew_us")
    for beside, value, title in ((False, "longest_decode_permille", "decodes of two lengths"),
                                 (True, "longest_mixed_permille", "decodes of two lengths beside a chunk")):
        share = Knots(profile, "shares", "sequences", value=value)
        take = ((chunk > 0) == beside) & np.isfinite(mean + most + us) & (us > 0) & share.inside(count)
        part = share(count[take]) / 1000
        yield title, "sequences", count[take], us[take], mean[take] + part * (most[take] - mean[take])


def layers(profile, folder):
    """The tables of a profile of layers, inside its knots; what operators() yields."""
    layer = Knots(profile, "dense", "tokens", value="layer_us")
    work, us = sums_of(folder, "dense", "tokens", IN_LAYER)
    take = layer.inside(work)
    yield "dense layer without attention", "tokens of a step", work[take], us[take], layer(work[take])
    if os.path.exists(os.path.join(folder_of(profile), "experts.csv")):
        experts = Knots(profile, "experts", "tokens", "active_experts")
        work, met, us = columns_of(folder, "moe", "tokens", "activated_experts", "time_us")
        take = experts.inside(work, met)
        yield "experts of a layer", "tokens of a step", work[take], us[take], experts(work[take], met[take])
    head = Knots(profile, "head", "sequences")
    work, us = sums_of(folder, "per_sequence", "sequences", {"lm_head": 1, "sampler": 1})
    take = head.inside(work)
    yield "head and sampler", "sequences", work[take], us[take], head(work[take])
    yield from attention(profile, folder)
    yield from shares(profile, folder)


def spread(work):
    """Where points of few numbers of work lie on the axis: beside each other, in bands, so that all can be seen."""
    values = np.unique(work)
    if len(values) > 16 or len(work) < 50 * len(values):
        return work, ""
    least = np.min(np.diff(np.log(values))) if len(values) > 1 else 1
    turn = np.arange(len(work)) * 0.6180339887 % 1     # evenly, whatever the order of the points
    return work * np.exp((turn - 0.5) * 0.7 * least), ", each spread out; bars: 10, 50 and 90 of 100"


def bars(axes, work, error):
    """The tenth, the middle and the ninetieth of a hundred errors at each number of work."""
    values = np.unique(work)
    least = np.min(np.diff(np.log(values))) if len(values) > 1 else 1
    for value in values:
        ends = value * np.exp(-0.35 * least), value * np.exp(0.35 * least)
        axes.hlines(np.percentile(error[work == value], (10, 50, 90)), *ends, color="black",
                    linewidth=(0.8, 1.8, 0.8))


def logarithmic(axis, least, most):
    """Numbers on the axis as few as its width allows."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
    decades = np.log10(most / least)
    subs = (1,) if decades > 3 else (1, 3) if decades > 2 else (1, 2, 5)
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: "{:,.10g}".format(value)))


def draw_table(table, scatter, histogram, domain):
    title, label, work, measured, predicted = table
    work, measured, predicted = (np.asarray(v, dtype=float) for v in (work, measured, predicted))
    error = 100 * (predicted / measured - 1)
    most = next(m for m in (2, 5, 10, 20, 30, ERROR_MOST) if m >= min(np.abs(error).max(), ERROR_MOST))
    shown = np.clip(error, -most, most)
    some = np.linspace(0, len(work) - 1, min(len(work), POINTS_MOST)).astype(int)
    many = len(work) > 2000
    dots = {"s": 3 if many else 14, "alpha": 0.2 if many else 0.7, "linewidths": 0, "rasterized": many}
    scatter.scatter(measured[some], predicted[some], **dots)
    ends = [measured.min(), measured.max()]
    scatter.plot(ends, ends, color="black", linewidth=0.8)
    scatter.set(xscale="log", yscale="log", xlabel="measured [us]", ylabel="predicted [us]",
                title="%s: %d points" % (title, len(work)))
    histogram.hist(shown, bins=80, range=(-most, most), histtype="stepfilled")
    histogram.set(xlim=(-1.04 * most, 1.04 * most), ylabel="points",
                  xlabel="error [%]" + (", past 50 at the edge" if most == ERROR_MOST else ""),
                  title="mean |error| %.1f %%, 90 of 100 below %.1f %%"
                  % (np.abs(error).mean(), np.percentile(np.abs(error), 90)))
    place, how = spread(work)
    domain.scatter(place[some], shown[some], **dots)
    if how:
        bars(domain, work, shown)
    domain.axhline(0, color="black", linewidth=0.8)
    domain.set(xscale="log", ylim=(-1.04 * most, 1.04 * most), xlabel=label + how, ylabel="error [%]",
               title="domain: %g to %g" % (work.min(), work.max()))
    for axis in (scatter.xaxis, scatter.yaxis):
        logarithmic(axis, *ends)
    logarithmic(domain.xaxis, work.min(), work.max())
    if len(np.unique(work)) <= 12:
        domain.set_xticks(np.unique(work))


def draw(tables):
    """One line of pictures a table, as SVG. Margins are fixed: to work them out takes longer than all the rest.
    matplotlib is loaded here: errors alone do not need it."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    matplotlib.rcParams["svg.hashsalt"] = "kvsim"     # the same page for the same points
    matplotlib.rcParams.update({"axes.titlesize": 10, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8})
    high = 3.4 * len(tables)
    figure, axes = plt.subplots(len(tables), 3, figsize=(13, high), squeeze=False)
    figure.subplots_adjust(left=0.06, right=0.99, top=1 - 0.35 / high, bottom=0.55 / high, wspace=0.24, hspace=0.36)
    for table, places in zip(tables, axes):
        draw_table(table, *places)
    picture = io.StringIO()
    figure.savefig(picture, format="svg", dpi=110)
    plt.close(figure)
    return picture.getvalue()[picture.getvalue().index("<svg"):]


def main(out, pairs):
    page = ["<!doctype html><meta charset=utf-8><title>Profiles of GPUs against measurements</title>"
            "<style>body{font-family:sans-serif;margin:2em}svg{max-width:100%;height:auto}</style>"]
    for pair in pairs:
        profile, equals, folder = pair.rpartition("=")
        if not equals:
            sys.exit("'%s': expected PROFILE=TABLES" % pair)
        facts = run("calib", "info", profile)
        composed = os.path.exists(os.path.join(folder_of(profile), "gemm_bf16.csv"))
        tables = [t for t in (operators if composed else layers)(profile, folder) if len(t[2])]
        if not tables:
            sys.exit("%s: no table of %s" % (folder, profile))
        if out != "-":
            page.append("<h2>%s</h2><pre>%s</pre>%s" % (html.escape(profile), html.escape(facts), draw(tables)))
        for title, _, _, measured, predicted in tables:
            error = np.abs(np.asarray(predicted) / np.asarray(measured) - 1)
            print("%s, %s: %d points, mean |error| %.2f %%" % (profile, title, len(error), 100 * error.mean()))
    if out != "-":
        with open(out, "w", encoding="utf-8") as file:
            file.write("\n".join(page) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
