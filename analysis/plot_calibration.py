#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""plot_calibration.py OUT.html PROFILE=TABLES...: a page of GPU profiles against the times they were made of.

    analysis/plot_calibration.py calibration.html h200-sxm=../shared/groundtruth/ops/h200_sxm

PROFILE: a name of models/profiles, or a path with a slash. TABLES: the folder that `kvsim calib import` took, raw
samples, tables of aiconfigurator, or (profiles of layers) those of LLMServingSim's profiler. For each table the page
shows measured against predicted times, errors as a histogram, and errors over the work of a call, which is the domain.
Points are those of the fit; the errors of points that a fit had not seen are in the text above them, from
`kvsim calib info`.
KVSIM names the program (./kvsim). Exit code 1: a profile or a table is wrong.
"""
import csv
import gzip
import html
import io
import os
import subprocess
import sys
import tempfile

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

KVSIM = os.environ.get("KVSIM", "./kvsim")
POINTS_MOST = 200_000

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


def operators(profile, folder):
    """(title, label of the axis, work, measured us, predicted us) of each table."""
    for names, title, part, kind, keys, label in TABLES:
        rows = next((r for r in (table_at(folder, n) for n in names) if r is not None), None)
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


def knots(profile, name, *keys):
    rows = table_at(folder_of(profile), name)
    axes = [sorted({float(r[k]) for r in rows}) for k in keys]
    values = {tuple(float(r[k]) for k in keys): float(r["time_us"]) for r in rows}
    return axes, np.array([[values[x, y] for y in axes[1]] for x in axes[0]] if len(keys) == 2
                          else [[values[x,]] for x in axes[0]])


def bilinear(axes, at, x, y=None):
    """Between knots as kvsim has it: linear along one axis, then the other."""
    columns = [np.interp(x, axes[0], at[:, j]) for j in range(at.shape[1])]
    return columns[0] if y is None else np.array([np.interp(b, axes[1], [c[i] for c in columns])
                                                  for i, b in enumerate(y)])


def layers(profile, folder):
    """The attention and head tables of a profile of layers, inside its knots; what operators() yields."""
    attention, head = table_at(folder, "attention"), table_at(folder, "per_sequence")
    number = {k: np.array([float(r[k]) for r in attention])
              for k in ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")}
    for name, keys, columns, other, title, label in (
            ("prefill", ("new_tokens", "cached_tokens"), ("prefill_chunk", "kv_prefill"), "n_decode",
             "attention of prompts, one layer", "new tokens"),
            ("decode", ("sequences", "kv_tokens"), ("n_decode", "kv_decode"), "prefill_chunk",
             "attention of decodes, one layer", "sequences")):
        axes, at = knots(profile, name, *keys)
        x, y = number[columns[0]], number[columns[1]]
        take = (number[other] == 0) & (x > 0) & (x <= axes[0][-1]) & (y <= axes[1][-1])
        yield title, label, x[take], number["time_us"][take], bilinear(axes, at, x[take], y[take])
    axes, at = knots(profile, "head", "sequences")
    steps = {}
    for row in head:
        steps[float(row["sequences"])] = steps.get(float(row["sequences"]), 0) + float(row["time_us"])
    x = np.array([s for s in sorted(steps) if s <= axes[0][-1]])
    yield "head and sampler", "sequences", x, [steps[s] for s in x], bilinear(axes, at, x)


def draw(tables):
    figure, axes = plt.subplots(len(tables), 3, figsize=(13, 3.4 * len(tables)), layout="constrained", squeeze=False)
    for (title, label, work, measured, predicted), (scatter, histogram, domain) in zip(tables, axes):
        work, measured, predicted = (np.asarray(v, dtype=float) for v in (work, measured, predicted))
        error = 100 * (predicted / measured - 1)
        some = np.linspace(0, len(work) - 1, min(len(work), POINTS_MOST)).astype(int)
        dots = {"s": 3, "alpha": 0.25 if len(work) > 2000 else 0.8, "linewidths": 0, "rasterized": True}
        scatter.scatter(measured[some], predicted[some], **dots)
        ends = [measured.min(), measured.max()]
        scatter.plot(ends, ends, color="black", linewidth=0.8)
        scatter.set(xscale="log", yscale="log", xlabel="measured [us]", ylabel="predicted [us]",
                    title="%s: %d points" % (title, len(work)))
        histogram.hist(np.clip(error, -50, 50), bins=100)
        histogram.set(xlabel="error [%], past 50 at the edge", ylabel="points",
                      title="mean |error| %.1f %%, 90 of 100 below %.1f %%"
                      % (np.abs(error).mean(), np.percentile(np.abs(error), 90)))
        domain.scatter(work[some], np.clip(error, -50, 50)[some], **dots)
        domain.axhline(0, color="black", linewidth=0.8)
        domain.set(xscale="log", ylim=(-52, 52), xlabel=label, ylabel="error [%]",
                   title="domain: %g to %g" % (work.min(), work.max()))
    picture = io.StringIO()
    figure.savefig(picture, format="svg", dpi=110)
    plt.close(figure)
    return picture.getvalue()[picture.getvalue().index("<svg"):]


def main(out, pairs):
    matplotlib.rcParams["svg.hashsalt"] = "kvsim"     # the same page for the same points
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
        page.append("<h2>%s</h2><pre>%s</pre>%s" % (html.escape(profile), html.escape(facts), draw(tables)))
        for title, _, _, measured, predicted in tables:
            error = np.abs(np.asarray(predicted) / np.asarray(measured) - 1)
            print("%s, %s: %d points, mean |error| %.2f %%" % (profile, title, len(error), 100 * error.mean()))
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(page) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
