# SPDX-License-Identifier: Apache-2.0
"""What the simulation has to know of the server: `kvsim calib storage`, over the same link, before the cases.

The profile's waits are taken, its rates are not: the scenario names the link itself, and that is what bounds the rates.
"""
import csv
import os
import shutil
import statistics

import bed

KiB = 1 << 10


class Grid:
    """Sizes and numbers of connections of one measurement, requests at each, and its longest time."""
    def __init__(self, sizes, connections, samples, budget_s):
        self.sizes, self.connections, self.samples, self.budget_s = sizes, connections, samples, budget_s


CASES = Grid((64 * KiB, 256 * KiB, 1024 * KiB, 4096 * KiB), (1, 4, 16), 24, 90)
SMOKE = Grid((256 * KiB, 1024 * KiB), (1, 4), 8, 15)
# First bytes: measured at all points in turn, predicted from those that KNOWN has, and asked for at those in between.
# Both axes double from knot to knot, as a profile is linear between them: with 1, 4 and 16 connections it misses that
# as many as there are processors wait hardly longer than one (17 % at 2); of 64 and 256 KiB, it is 9 % low at 128.
KNOWN = Grid((64 * KiB, 128 * KiB, 256 * KiB, 512 * KiB), (1, 2, 4, 8, 16), 48, 180)
ASKED = Grid((96 * KiB, 384 * KiB), (1, 3, 6, 12), 48, 180)
SMOKE_KNOWN = Grid((256 * KiB, 1024 * KiB), (1, 4), 12, 15)
SMOKE_ASKED = Grid((512 * KiB,), (2,), 12, 15)


class Profile:
    def __init__(self, folder, rate):
        self.folder = folder
        self.stream_Bps = rate * 1e6 / 8 * bed.PAYLOAD_FRAC

    def __str__(self):
        with open(os.path.join(self.folder, "first_byte.csv")) as f:
            waits = {(int(r["bytes"]), int(r["connections"])): float(r["first_byte_us"]) for r in csv.DictReader(f)}
        connections = sorted({n for _, n in waits})
        return "first byte in ms by connections (%s):" % ", ".join("%d" % n for n in connections) + "".join(
            "\n  %8d KiB  %s" % (size // KiB, "  ".join("%7.2f" % (waits[size, n] / 1e3) for n in connections))
            for size in sorted({size for size, _ in waits}))

    def store(self, streams, aggregate=False):
        """`store` of a tier: a connection gets what the link gives, and waits as measured."""
        return {"profile": self.folder, "backend_curve": "none", "bandwidth": "0bps",
                "stream_bandwidth": "%.0fB/s" % self.stream_Bps, "streams": streams, "aggregate": aggregate}


def calib(the_bed, folder, grid, ops, samples):
    the_bed.program("kvsim", "calib", "storage", "--output", folder, "--ops", ops, "--port-slot", 0, "--quiet",
                    "--sizes", ",".join("%dB" % size for size in grid.sizes),
                    "--connections", ",".join("%d" % n for n in grid.connections),
                    "--samples", samples, "--budget", "%ds" % grid.budget_s)


def fresh(the_bed, name):
    folder = os.path.join(the_bed.folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    return folder


def profile(the_bed, grid, rate):
    """Of whole objects and of ranges, for the cases."""
    the_bed.shape({"rate": rate, "clients": [], "mode": "layerwise", "connections": 1})
    folder = fresh(the_bed, "profile")
    calib(the_bed, folder, grid, "get,range", grid.samples)
    return Profile(folder, rate)


def first_bytes(the_bed, known, asked, rate):
    """A profile of the points of `known`, and medians in s at the points of `asked`, by (bytes, connections). All are
    measured by one program in many short visits, so that whatever else this machine does hits all of them."""
    the_bed.shape({"rate": rate, "clients": [], "mode": "layerwise", "connections": 1})
    union = Grid(sorted(known.sizes + asked.sizes), sorted(set(known.connections + asked.connections)),
                 known.samples, known.budget_s)
    measured, folder, found = fresh(the_bed, "measured"), fresh(the_bed, "known"), {}
    calib(the_bed, measured, union, "get", union.samples)
    with open(os.path.join(measured, "samples.csv")) as f, open(os.path.join(folder, "samples.csv"), "w") as kept:
        rows = csv.DictReader(f)
        writer = csv.DictWriter(kept, rows.fieldnames, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            size, n = int(row["bytes"]), int(row["connections"])
            if size in known.sizes and n in known.connections:
                writer.writerow(row)
            if size in asked.sizes and n in asked.connections and row["outcome"] == "ok":
                found.setdefault((size, n), []).append(float(row["first_byte_us"]) / 1e6)
    calib(the_bed, folder, known, "get", 3)   # all is there: it only fits
    return Profile(folder, rate), {point: statistics.median(waits_s) for point, waits_s in found.items()}
