# SPDX-License-Identifier: Apache-2.0
"""What the simulation has to know of the server behind the link: the wait for a first byte by size and connections, and
the rate of a connection. Measured over the same link, before the cases."""
import os
import statistics

SIZES = (4096, 65536, 262144, 1 << 20)
CONNECTIONS = (1, 4, 16)
SAMPLES = 24            # requests of a point, at least
LAYERS_MAX = 1024


def samples(the_bed, size_bytes, connections, count=SAMPLES):
    """Rows of closed loops: each connection asks as soon as it has been answered."""
    each = max(3, -(-count // connections)) + 1
    case = {"mode": "layerwise", "layers": each, "slice": size_bytes, "connections": 1, "compute": 0,
            "clients": [{"key": "big", "objects": 1} for _ in range(connections)]}
    rows = the_bed.clients(case)
    return [row for client in rows for row in client[1:]]   # the first requests come all at once


def first_byte_s(rows):
    return statistics.median(r["first_byte_s"] - r["fetch_start_s"] for r in rows)


def level(values):
    """The nearest values that never fall (least squares: neighbours that fall are pooled)."""
    pools = []
    for v in values:
        pools.append([v, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    return [v for v, n in pools for _ in range(n)]


def levelled(curve):
    """More bytes or more connections never wait less: the simulator's rule for such curves. Many small requests keep the
    server busier than the same number of large ones that wait for the link, so measured ones may."""
    flat = dict(curve)
    for n in CONNECTIONS:
        flat.update(zip([(size, n) for size in SIZES], level([flat[size, n] for size in SIZES])))
    for size in SIZES:
        flat.update(zip([(size, n) for n in CONNECTIONS], level([flat[size, n] for n in CONNECTIONS])))
    return flat


class Profile:
    def __init__(self, path, curve, stream_Bps):
        self.path, self.curve, self.stream_Bps = path, curve, stream_Bps
        with open(path, "w") as f:
            f.write("bytes,connections,first_byte_us\n")
            f.writelines("%d,%d,%.1f\n" % (size, n, 1e6 * curve[size, n]) for size, n in sorted(curve))

    def __str__(self):
        return "profile: a connection gets %.2f MB/s; first byte, ms, by connections (%s):" % (
            self.stream_Bps / 1e6, ", ".join("%d" % n for n in CONNECTIONS)) + "".join(
                "\n  %8d bytes  %s" % (size, "  ".join("%7.2f" % (1e3 * self.curve[size, n]) for n in CONNECTIONS))
                for size in SIZES)

    def store(self, streams, aggregate=False):
        """`store` of a tier in a scenario."""
        return {"first_byte_curve": self.path, "stream_bandwidth": "%.0fB/s" % self.stream_Bps, "streams": streams,
                "aggregate": aggregate}


def measure(the_bed, rate):
    the_bed.shape({"rate": rate, "clients": [], "mode": "layerwise", "connections": 1})
    curve, whole = {}, {}
    for size in SIZES:
        for n in CONNECTIONS:
            rows = samples(the_bed, size, n)
            curve[size, n] = first_byte_s(rows)
            if n == 1:
                whole[size] = statistics.median(r["fetch_end_s"] - r["first_byte_s"] for r in rows)
    big, small = SIZES[-1], SIZES[-3]
    stream_Bps = (big - small) / (whole[big] - whole[small])
    return Profile(os.path.join(the_bed.folder, "first_byte.csv"), levelled(curve), stream_Bps)
