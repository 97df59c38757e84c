# SPDX-License-Identifier: Apache-2.0
"""Measurements while the host leaves this machine its processors.

A virtual machine whose processors go to somebody else for a second measures that somebody. Linux tells of it: the
eighth figure of /proc/stat, `steal`, counts it (proc(5)). A measurement in whose course more than STOLEN_MAX was stolen
is made again; what it measured is not looked at.
"""
import time

STOLEN_MAX = 0.02    # of the processors' time: to there makespans of the test bed are 1 % late, from 3.6 % on 2 to 70 %
TRIES = 12


def clock():
    """Processor time so far, all of it and what was stolen of it, in ticks."""
    with open("/proc/stat") as f:
        ticks = [int(word) for word in f.readline().split()[1:9]]
    return sum(ticks), ticks[7] if len(ticks) > 7 else 0


class Quiet:
    """Makes measurements, and counts those that it made again and those that never had quiet."""
    def __init__(self, tries=TRIES, read=clock, pause=time.sleep):
        self.tries, self.read, self.pause = tries, read, pause
        self.made = self.again = self.disturbed = 0

    def measure(self, action):
        self.made += 1
        for left in reversed(range(self.tries)):
            all_before, stolen_before = self.read()
            result = action()
            all_after, stolen_after = self.read()
            if stolen_after - stolen_before <= STOLEN_MAX * (all_after - all_before):
                return result
            if left:
                self.again += 1
                self.pause(1)
        self.disturbed += 1
        return result

    def __str__(self):
        return ("%d measurements; %d times one was made again, since the host took more than %g %% of the processors "
                "meanwhile; %d never without that" % (self.made, self.again, 100 * STOLEN_MAX, self.disturbed))
