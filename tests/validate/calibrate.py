# SPDX-License-Identifier: Apache-2.0
"""What the simulation has to know of the server: `kvsim calib storage`, over the same link, before the cases.

The profile's waits are taken, its rates are not: the scenario names the link itself, and that is what bounds the rates.
"""
import csv
import os

import bed

SIZES, SMOKE_SIZES = ("64KiB", "256KiB", "1MiB", "4MiB"), ("256KiB", "1MiB")
CONNECTIONS = (1, 4, 16)
SAMPLES, SMOKE_SAMPLES = 24, 6


class Profile:
    def __init__(self, folder, rate):
        self.folder = folder
        self.stream_Bps = rate * 1e6 / 8 * bed.PAYLOAD_FRAC
        with open(os.path.join(folder, "first_byte.csv")) as f:
            self.waits = {(int(r["bytes"]), int(r["connections"])): float(r["first_byte_us"])
                          for r in csv.DictReader(f)}

    def __str__(self):
        return "first byte in ms by connections (%s):" % ", ".join("%d" % n for n in CONNECTIONS) + "".join(
            "\n  %8d bytes  %s" % (size, "  ".join("%7.2f" % (self.waits[size, n] / 1e3) for n in CONNECTIONS))
            for size in sorted({size for size, _ in self.waits}))

    def store(self, streams, aggregate=False):
        """`store` of a tier: a connection gets what the link gives, and waits as measured."""
        return {"profile": self.folder, "backend_curve": "none", "bandwidth": "0bps",
                "stream_bandwidth": "%.0fB/s" % self.stream_Bps, "streams": streams, "aggregate": aggregate}


def measure(the_bed, rate, smoke):
    the_bed.shape({"rate": rate, "clients": [], "mode": "layerwise", "connections": 1})
    folder = os.path.join(the_bed.folder, "profile")
    the_bed.program("kvsim", "calib", "storage", "--output", folder, "--ops", "get", "--port-slot", 0, "--quiet",
                    "--sizes", ",".join(SMOKE_SIZES if smoke else SIZES),
                    "--connections", ",".join("%d" % n for n in CONNECTIONS),
                    "--samples", SMOKE_SAMPLES if smoke else SAMPLES, "--budget", "20s" if smoke else "90s")
    return Profile(folder, rate)
