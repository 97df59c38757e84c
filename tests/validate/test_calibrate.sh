#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What of a measurement of `make validate-storage` counts: samples of a disturbed turn do not, those of turns before it
# do, and too few are told. The bed here only notes what it is asked for; the real one is in test_smoke.sh.
. "$(dirname "$0")/../support/shell.sh"
WORK=$work PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/validate /usr/bin/python3 - <<'END' || fail "samples that count"
import os
import bed, calibrate, quiet

class Noted:
    """Stands for a Bed: each run of calib storage goes on to so many samples of 1, 2, 3 ... ms, by the run's number."""
    def __init__(self, stolen, most=10**9):
        self.folder, self.asked, self.most, self.stolen = os.environ["WORK"], [], most, stolen
        self.quiet = quiet.Quiet(4, lambda: (1000 * len(self.asked), sum(stolen[:len(self.asked)])), lambda s: None)

    def shape(self, case):
        assert not case["clients"], case

    def program(self, *words):
        folder, samples = (words[words.index(flag) + 1] for flag in ("--output", "--samples"))
        self.asked.append((os.path.basename(folder), samples))
        path = os.path.join(folder, "samples.csv")
        old = open(path).readlines() if os.path.exists(path) else ["op,bytes,connections,first_byte_us,outcome\n"]
        for point in ("get,393216,1,", "get,393216,2,"):
            have = sum(row.startswith(point) and row.endswith(",ok\n") for row in old)
            old += [point + "%d,ok\n" % (1000 * len(self.asked))] * (min(samples, self.most) - have)
        with open(path, "w") as f:
            f.writelines(old + ["get,393216,1,9e9,busy\n"])

def check(got, expected):
    assert got == expected, "%s, expected %s" % (got, expected)

grid = calibrate.Grid((393216,), (1, 2), 9, 15)
turns = [("known", 3), ("asked", 3), ("known", 6), ("asked", 6), ("known", 9), ("asked", 9)]

quiet_bed = Noted([0] * 9)
profile, medians = calibrate.first_bytes(quiet_bed, grid, grid, 200)
check(quiet_bed.asked, turns)
check(medians, {(393216, 1): 0.004, (393216, 2): 0.004})          # asked in runs 2, 4, 6
check(os.path.basename(profile.folder), "known")

disturbed = Noted([0, 0, 0, 500, 500, 0, 0, 0])                     # the second turn of `asked`, twice
calibrate.first_bytes(disturbed, grid, grid, 200)
check(disturbed.asked, turns[:4] + [turns[3]] * 2 + turns[4:])
rows = calibrate.waits(os.path.join(disturbed.folder, "asked"))["get", 393216, 2]
check(rows, [0.002] * 3 + [0.006] * 3 + [0.008] * 3)              # nothing of runs 4 and 5
check((disturbed.quiet.made, disturbed.quiet.again, disturbed.quiet.disturbed), (6, 2, 0))

for most, told in ((9, None), (8, "fewer than 9 samples of get of 393216 bytes, 1 at a time; get")):
    try:
        calibrate.first_bytes(Noted([0] * 9, most), grid, grid, 200)
        got = None
    except bed.Failed as why:
        got = str(why)
    assert (told in got) if told and got else got == told, got
END
[ $failed = 0 ] && echo "disturbed samples do not count, and too few are told"
exit $failed
