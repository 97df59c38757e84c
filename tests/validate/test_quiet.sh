#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which measurements of `make validate-storage` are made again: those in whose course too much was stolen, and no others.
. "$(dirname "$0")/../support/shell.sh"
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/validate /usr/bin/python3 - <<'END' || fail "rule of quiet measurements"
import quiet

def run(stolen, tries=4):
    """Measurements of 1000 ticks, of which so many are stolen in each; the number returned, and the counts."""
    done, pauses = [], []
    def read():
        return 1000 * len(done), sum(stolen[:len(done)])
    q = quiet.Quiet(tries, read, pauses.append)
    got = q.measure(lambda: done.append(0) or len(done))
    return got, len(done), q.again, q.disturbed, len(pauses)

def check(got, expected):
    assert got == expected, "%s, expected %s" % (got, expected)

check(run([0]), (1, 1, 0, 0, 0))
check(run([20]), (1, 1, 0, 0, 0))               # at the limit
check(run([21, 20]), (2, 2, 1, 0, 1))           # a tick past it
check(run([500, 21, 0]), (3, 3, 2, 0, 2))
check(run([500, 500, 500, 500, 0]), (4, 4, 3, 1, 3))   # never quiet: the last one counts, and that is told
check(run([30], tries=1), (1, 1, 0, 1, 0))
total, stolen = quiet.clock()
assert 0 <= stolen < total, (total, stolen)
END
[ $failed = 0 ] && echo "measurements are made again when too much was stolen"
exit $failed
