# SPDX-License-Identifier: Apache-2.0
"""Real fetches from a real S3 server over a link of a known rate, beside kvsim's simulation of the same.

    validate.py --programs FOLDER [--part first-bytes|gets|layers ...] [--runs N] [--smoke] [--csv FILE]

Exit code 0 when every figure is within its bar, 1 when one is not, 77 when the test bed cannot be had. The bars are for
a machine that does little else; what its host takes meanwhile is noticed (quiet.py). --smoke: a minute, one run, bars
that only a broken model or test bed misses.
"""
import argparse
import csv
import os
import statistics
import sys

import bed
import calibrate
import cases
import quiet
import simulated

BARS = {"first byte": 10, "makespan of one run": 5, "makespan, median": 3, "flows, mean": 5,
        "layers, median": 5, "layers, worst": 15}
SMOKE_BARS = dict({name: 3 * bar for name, bar in BARS.items()}, **{"first byte": 200})
RUNS = {"first-bytes": 5, "gets": 5, "layers": 3}
FLOW_MIN_S = 0.5     # shorter flows are mostly first byte
ORDER_MIN = 0.05     # modes whose measured times are closer than this are equal


def time_text(s):
    return "%8.3f s " % s if s >= 0.1 else "%8.2f ms" % (1e3 * s)


class Report:
    def __init__(self, bars):
        self.bars, self.lines, self.bad = bars, [], 0

    def head(self, text):
        print("\n%s\n%-38s %11s%11s %8s" % (text, "case", "measured", "simulated", "error"), flush=True)

    def line(self, part, case, measured_s, simulated_s, note=""):
        error = 100 * (simulated_s / measured_s - 1)
        print("%-38s %s %s %+7.1f %%  %s" % (case, time_text(measured_s), time_text(simulated_s), error, note),
              flush=True)
        self.lines.append({"part": part, "case": case, "measured_s": "%.6f" % measured_s,
                           "simulated_s": "%.6f" % simulated_s, "error_pct": "%.2f" % error, "note": note})

    def verdict(self, bar, value, what):
        held = value <= self.bars[bar]
        self.bad += not held
        print("%-10s %s: %.1f %%, bar %g %%" % ("holds" if held else "PAST ITS BAR", what, value, self.bars[bar]),
              flush=True)

    def truth(self, held, what):
        self.bad += not held
        print("%-10s %s" % ("holds" if held else "DOES NOT HOLD", what), flush=True)


def error(simulated_s, measured_s):
    return 100 * abs(simulated_s / measured_s - 1)


def first_bytes(the_bed, options, report):
    """Waits for first bytes at sizes and connections that the profile was not fitted to; errors: medians over runs."""
    report.head("First byte of GETs in closed loops, %d Mbit/s: median" % cases.RATE)
    known, asked = calibrate.KNOWN, calibrate.ASKED
    if options.smoke:
        known, asked = calibrate.SMOKE_KNOWN, calibrate.SMOKE_ASKED
    real, sim = {}, {}
    for _ in range(options.runs or RUNS["first-bytes"]):
        profile, waits = calibrate.first_bytes(the_bed, known, asked, cases.RATE)
        for (size, connections), wait_s in waits.items():
            waits_s = simulated.first_bytes(options.kvsim, size, connections, 20 * connections, cases.RATE,
                                            profile.store(1), bed.PAYLOAD_FRAC,
                                            os.path.join(the_bed.folder, "simulated"))
            real.setdefault((size, connections), []).append(wait_s)
            sim.setdefault((size, connections), []).append(statistics.median(waits_s))
    errors = {p: statistics.median(s / r for s, r in zip(sim[p], real[p])) for p in real}
    for point in sorted(real):
        median_s = statistics.median(real[point])
        report.line("first-bytes", "%d KiB, %d connections" % (point[0] >> 10, point[1]), median_s,
                    median_s * errors[point], "%.2f to %.2f ms" % (1e3 * min(real[point]), 1e3 * max(real[point])))
    report.verdict("first byte", max(100 * abs(e - 1) for e in errors.values()), "first byte, worst median")


def parallel_gets(the_bed, options, profile, report, table):
    """Real flows and simulated ones: how long each takes, and when the last is done."""
    report.head("Parallel GETs, %d Mbit/s: makespan, and mean error of flows of %g s and more" %
                (cases.RATE, FLOW_MIN_S))
    singles, medians, flows = [], [], []
    for case in table:
        sim_s = simulated.run(options.kvsim, case, profile.store(1, aggregate=True), bed.PAYLOAD_FRAC,
                              os.path.join(the_bed.folder, "simulated"))
        sim_end_s = max(t + c["start"] for t, c in zip(sim_s, case["clients"]))
        the_bed.shape(case)
        ends, mine = [], []
        for _ in range(options.runs or RUNS["gets"]):
            rows = [r[-1] for r in the_bed.clients(cases.as_ranges(case))]
            ends.append(max(r["fetch_end_s"] for r in rows))
            singles.append(error(sim_end_s, ends[-1]))
            mine += [error(s, r["fetch_end_s"] - r["start_s"]) for s, r in zip(sim_s, rows)
                     if r["fetch_end_s"] - r["start_s"] >= FLOW_MIN_S]
        flows += mine
        medians.append(error(sim_end_s, statistics.median(ends)))
        report.line("gets", case["name"], statistics.median(ends), sim_end_s,
                    "flows: mean %.1f %%, worst %.1f %% of %d" % (statistics.mean(mine), max(mine), len(mine)))
    report.verdict("makespan of one run", max(singles), "makespan of each run, worst of %d" % len(singles))
    report.verdict("makespan, median", max(medians), "makespan, median of runs, worst case")
    report.verdict("flows, mean", statistics.mean(flows), "flows, mean error of %d" % len(flows))


def layerwise(the_bed, options, profile, report, table):
    """Clients that compute layer by layer while they fetch: time to the first token."""
    report.head("Layerwise retrieval, %d layers, %d Mbit/s: TTFT, mean of clients" % (cases.CHUNK_LAYERS, cases.RATE))
    errors, groups = [], {}
    for case in table:
        sim_s = simulated.run(options.kvsim, case, profile.store(case["connections"]), bed.PAYLOAD_FRAC,
                              os.path.join(the_bed.folder, "simulated"))
        the_bed.shape(case)
        runs = [[r[-1]["ttft_s"] for r in the_bed.clients(case)] for _ in range(options.runs or RUNS["layers"])]
        real_s = [statistics.median(t) for t in zip(*runs)]
        mine = [error(s, r) for s, r in zip(sim_s, real_s)]
        errors += mine
        groups.setdefault(case["group"], []).append((statistics.mean(real_s), statistics.mean(sim_s), case["word"]))
        report.line("layers", case["name"], statistics.mean(real_s), statistics.mean(sim_s),
                    "worst client %.1f %%" % max(mine) if len(mine) > 1 else "")
    report.verdict("layers, median", statistics.median(errors), "TTFT, median error of %d clients" % len(errors))
    report.verdict("layers, worst", max(errors), "TTFT, worst error")
    judged, wrong = order_of_modes(groups)
    report.truth(not wrong, "order of modes as measured in %d pairs that are %g %% apart%s" %
                 (judged, 100 * ORDER_MIN, "".join("; not: " + w for w in wrong)))


def order_of_modes(groups):
    """Pairs of modes of one group that were measured apart, and those of them that the simulation has the other way
    round, or equal."""
    judged, wrong = 0, []
    for group, found in groups.items():
        for i, (real, sim, word) in enumerate(found):
            for other_real, other_sim, other in found[i + 1:]:
                if abs(real / other_real - 1) < ORDER_MIN:
                    continue
                judged += 1
                if (real - other_real) * (sim - other_sim) <= 0:
                    wrong.append("%s, %s and %s" % (group, word, other))
    return judged, wrong


def over_time(the_bed, options, report):
    """Parts that compare courses of time; they share a profile of the server's waits."""
    profile = calibrate.profile(the_bed, calibrate.SMOKE if options.smoke else calibrate.CASES, cases.RATE)
    print("\nprofile: %s" % profile, flush=True)
    if "gets" in options.part:
        parallel_gets(the_bed, options, profile, report, cases.SMOKE_GETS if options.smoke else cases.GETS)
    if "layers" in options.part:
        layerwise(the_bed, options, profile, report, cases.layers(bed.PAYLOAD_FRAC, options.smoke))


def measure(options, report):
    with bed.Bed(options.programs, options.tries) as the_bed:
        the_bed.put("chunk", cases.OBJECTS_MAX, cases.CHUNK_LAYERS * cases.SLICE)
        the_bed.put("big", 1, cases.BIG_BYTES)
        if "first-bytes" in options.part:
            first_bytes(the_bed, options, report)
        if {"gets", "layers"} & set(options.part):
            over_time(the_bed, options, report)
        print("\n%s" % the_bed.quiet, flush=True)


def main():
    parser = argparse.ArgumentParser(description="compare kvsim with real fetches over a capped link")
    parser.add_argument("--programs", required=True, help="folder of kvsim and kvsim-calib-layers")
    parser.add_argument("--runs", type=int, help="of each case; medians are compared (%s)" %
                        ", ".join("%s %d" % run for run in RUNS.items()))
    parser.add_argument("--part", action="append", choices=list(RUNS))
    parser.add_argument("--smoke", action="store_true", help="a minute, wide bars")
    parser.add_argument("--csv", help="write the table there")
    options = parser.parse_args()
    options.part = options.part or list(RUNS)
    options.kvsim = os.path.join(options.programs, "kvsim")
    options.tries = quiet.TRIES
    if options.smoke:
        options.runs, options.tries = 1, 3
    report = Report(SMOKE_BARS if options.smoke else BARS)
    try:
        measure(options, report)
    except bed.Skip as why:
        print("SKIP: %s" % why)
        return 77
    except (bed.Failed, simulated.Failed) as why:
        print("validate: %s" % why, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("validate: interrupted; everything that was started has ended", file=sys.stderr)
        return 130
    if options.csv:
        with open(options.csv, "w", newline="") as f:
            writer = csv.DictWriter(f, ["part", "case", "measured_s", "simulated_s", "error_pct", "note"])
            writer.writeheader()
            writer.writerows(report.lines)
    print("\n%s" % ("all within their bars" if not report.bad else "%d past their bars" % report.bad))
    return 1 if report.bad else 0


if __name__ == "__main__":
    sys.exit(main())
