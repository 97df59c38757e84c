#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""plot_tiers.py OUT.png RUN.h5: hit ratio of each tier, and use of the fullest links, over time.

    kvsim run SCENARIO -o run.h5
    analysis/plot_tiers.py tiers.png run.h5
"""
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

import kvsim_io  # noqa: E402

LINKS_SHOWN = 6


def smoothed(values, bins):
    """Sums over about 100 windows: a bin holds too few requests for a ratio."""
    return values.rolling(max(1, len(bins) // 100), min_periods=1).sum()


def main(out, path):
    bins, tiers, links, meta = (f(path) for f in (kvsim_io.timeseries, kvsim_io.tiers, kvsim_io.links, kvsim_io.meta))
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    for tier in tiers.index:
        hits, asked = (smoothed(bins["tier_%s_tokens.%s" % (what, tier)], bins) for what in ("hits", "asked"))
        above.plot(bins.index, hits / asked, label="%s %.3f"
                   % (tier, tiers.hit_ratio_token_cond[tier]))
    above.set(ylabel="hits / tokens asked of the tier (of the run)", ylim=(0, 1))
    for link in links.sort_values("utilization_mean", ascending=False).index[:LINKS_SHOWN] if len(links) else ():
        below.plot(bins.index, smoothed(bins["link_bytes." + link], bins)
                   / smoothed(links.capacity[link] * (bins.time_end - bins.index), bins),
                   label="%s (%.0f %%)" % (link, 100 * links.utilization_mean[link]))
    below.set(xlabel="simulated time [s]", ylabel="share of the rate", ylim=(0, 1.02))
    for axes in (above, below):
        axes.grid(True, alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8, ncol=3, loc="lower right", bbox_to_anchor=(1, 1))
    figure.suptitle("%s: %s" % (meta["scenario_name"], kvsim_io.quality(path)["saturation"]))
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
