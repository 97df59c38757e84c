#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""plot_sweep.py OUT.png FACT[,FACT..] RUN.h5..: facts of /summary against the offered load of many runs.

    analysis/sweep.sh configs/quickstart.yaml workload.rate_scale 50 100 200 400
    analysis/plot_sweep.py knee.png ttft.p50,ttft.p99 sweep/*.h5
"""
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

import kvsim_io  # noqa: E402


def main(out, names, paths):
    facts = sorted((kvsim_io.summary(path) for path in paths), key=lambda f: f["measured"] / f["duration"])
    load = [f["measured"] / f["duration"] for f in facts]
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in names.split(","):
        axes.plot(load, [f[name] for f in facts], marker="o", label=name)
    axes.set(xlabel="measured requests a second", ylabel="seconds" if "." in names else names)
    axes.set(xscale="log", yscale="log")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.text(0.01, 0.005, "%d runs, %d requests each" % (len(facts), facts[0]["requests"]), fontsize=7, color="gray")
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
