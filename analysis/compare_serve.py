#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""compare_serve.py FOLDER: what tests/fidelity/compare_serve.sh has served against what it has simulated.
compare_serve.py --host-overhead FOLDER/CASE: the host's time of a step of a served run, as kvsim takes it: "310us".

FOLDER/CASE has requests.csv, steps.csv and layers.csv of kvsim calib serve, and sim.csv (and layers_sim.csv) of kvsim.
Errors are (simulated - measured) / measured; WAPE is the sum of |simulated - measured| over the sum of measured;
percentiles are interpolated linearly. Exit 0; 1: a request was served and not simulated, or the other way round; 2: the
folder is wrong.
"""
import csv
import statistics
import sys

METRICS = ("ttft", "tpot", "e2e")
MODES = ("layerwise", "chunkwise", "recompute")


class BadRun(Exception):
    """The folder is wrong."""


def rows_of(path):
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise BadRun("%s: %s" % (path, error.strerror)) from None


def requests_of(path):
    """Times in seconds by request id; a TPOT of one token is left out."""
    found = {}
    for row in rows_of(path):
        if row.get("status", "finished") == "finished":
            found[int(row["request_id"])] = {m: float(row[m + "_s"]) for m in METRICS if row[m + "_s"]}
    if not found:
        raise BadRun("%s: no request has finished" % path)
    return found


def quantile(values, q):
    values = sorted(values)
    at = q * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])


FIGURES = (("mean", statistics.fmean), ("p50", lambda v: quantile(v, 0.5)), ("p90", lambda v: quantile(v, 0.9)),
           ("p99", lambda v: quantile(v, 0.99)))


def print_line(name, real, sim):
    print("%-26s %12.3f %12.3f %+9.2f" % (name, real * 1e3, sim * 1e3, 100 * (sim - real) / real if real else 0))


def pair_up(folder, case):
    """Served and simulated times of the same requests."""
    real, sim = requests_of("%s/%s/requests.csv" % (folder, case)), requests_of("%s/%s/sim.csv" % (folder, case))
    lone = sorted(set(real) ^ set(sim))
    if lone:
        print("%s: %d requests were served and not simulated, or the other way round; the first is %d"
              % (case, len(lone), lone[0]))
    return [(real[i], sim[i]) for i in sorted(set(real) & set(sim))], not lone


def print_online(pairs):
    print("%-26s %12s %12s %9s" % ("ms", "measured", "simulated", "error, %"))
    for metric in METRICS:
        both = [(r[metric], s[metric]) for r, s in pairs if metric in r and metric in s]
        for name, figure in FIGURES:
            print_line("%s %s" % (metric.upper(), name), figure([r for r, _ in both]), figure([s for _, s in both]))
        print("%-26s %35.2f" % (metric.upper() + " WAPE, %",
                                100 * sum(abs(s - r) for r, s in both) / sum(r for r, _ in both)))


def print_modes(by_mode):
    print("\nprompts in host memory: mean TTFT")
    print("%-26s %12s %12s %9s" % ("ms", "measured", "simulated", "error, %"))
    mean = {}
    for mode in MODES:
        mean[mode] = [statistics.fmean(p[k]["ttft"] for p in by_mode[mode]) for k in (0, 1)]
        print_line(mode, *mean[mode])
    for other in MODES[1:]:
        gain = [100 * (1 - mean["layerwise"][k] / mean[other][k]) for k in (0, 1)]
        print("%-26s %11.1f%% %11.1f%%" % ("layerwise saves, of " + other, *gain))


# ---- layers ----

def steps_of(rows, column):
    """Lists of (loaded, begin, end) a step: served, a row a layer; steps without loads are left out."""
    steps = {}
    for row in rows:
        if row[column[0]]:
            steps.setdefault(row["step"], []).append(tuple(float(row[c]) for c in column))
    return list(steps.values())


def simulated_steps(rows):
    steps = []
    for row in rows:
        layers = sum(name.startswith("compute_start_") for name in row)
        steps.append([tuple(float(row["%s_%d_s" % (what, i)]) for what in ("fetch_end", "compute_start", "compute_end"))
                      for i in range(layers)])
    return steps


def of_layers(steps):
    """Mean time to compute a layer, to load one, and that a step waits for layers behind its first."""
    compute, load, stall = [], [], []
    for layers in steps:
        compute += [end - begin for _, begin, end in layers]
        if len(layers) > 1:
            load.append((layers[-1][0] - layers[0][0]) / (len(layers) - 1))
        stall.append(sum(max(0.0, b[1] - a[2]) for a, b in zip(layers, layers[1:])))
    return [statistics.fmean(v) if v else 0.0 for v in (compute, load, stall)]


def print_layers(folder):
    real = steps_of(rows_of(folder + "/layerwise/layers.csv"), ("loaded_s", "begin_s", "end_s"))
    sim = simulated_steps(rows_of(folder + "/layerwise/layers_sim.csv"))
    if not real or not sim:
        return
    print("\nsteps that wait for layers: %d served, %d simulated" % (len(real), len(sim)))
    for name, r, s in zip(("a layer is computed", "a layer is loaded", "waited for layers, a step"), of_layers(real),
                          of_layers(sim)):
        print_line(name, r, s)


# ---- the host ----

def host_overhead_s(case):
    """What a step takes beside the device's work: the median, for a wait for arrivals is no work of the host."""
    rows = rows_of(case + "/steps.csv")
    if not rows:
        raise BadRun("%s/steps.csv: no steps" % case)
    beside = [float(r["end_s"]) - float(r["begin_s"]) - float(r["device_s"]) for r in rows]
    return max(0.0, statistics.median(beside) + statistics.median(float(r["gap_s"]) for r in rows))


def main(words):
    if len(words) == 2 and words[0] == "--host-overhead":
        print("%.0fus" % (host_overhead_s(words[1]) * 1e6))
        return 0
    if len(words) != 1 or words[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    pairs, good = pair_up(words[0], "online")
    print("%d requests served and simulated\n" % len(pairs))
    print_online(pairs)
    by_mode = {}
    for mode in MODES:
        by_mode[mode], same = pair_up(words[0], mode)
        good = good and same
    print_modes(by_mode)
    print_layers(words[0])
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BadRun as problem:
        print("compare_serve: %s" % problem, file=sys.stderr)
        sys.exit(2)
