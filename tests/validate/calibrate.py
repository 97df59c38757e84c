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
# First bytes are predicted by one and measured by the other, which lies between its points.
KNOWN = Grid((64 * KiB, 256 * KiB, 1024 * KiB), (1, 4, 16), 32, 60)
ASKED = Grid((128 * KiB, 512 * KiB), (1, 2, 8), 32, 60)
SMOKE_ASKED = Grid((512 * KiB, 1024 * KiB), (2,), 24, 15)


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


def samples(the_bed, grid, ops, rate, name):
    """Folder with what `kvsim calib storage` measured, and the profile that it made of it."""
    the_bed.shape({"rate": rate, "clients": [], "mode": "layerwise", "connections": 1})
    folder = os.path.join(the_bed.folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    the_bed.program("kvsim", "calib", "storage", "--output", folder, "--ops", ops, "--port-slot", 0, "--quiet",
                    "--sizes", ",".join("%dB" % size for size in grid.sizes),
                    "--connections", ",".join("%d" % n for n in grid.connections),
                    "--samples", grid.samples, "--budget", "%ds" % grid.budget_s)
    return folder


def profile(the_bed, grid, ops, rate):
    return Profile(samples(the_bed, grid, ops, rate, "profile"), rate)


def first_bytes_s(the_bed, grid, rate):
    """Medians of whole GETs by (bytes, connections)."""
    found = {}
    with open(os.path.join(samples(the_bed, grid, "get", rate, "asked"), "samples.csv")) as f:
        for row in csv.DictReader(f):
            if row["outcome"] == "ok" and row["op"] == "get":
                found.setdefault((int(row["bytes"]), int(row["connections"])), []).append(float(row["first_byte_us"]))
    return {point: statistics.median(us) / 1e6 for point, us in found.items()}
