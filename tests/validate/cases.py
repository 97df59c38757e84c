# SPDX-License-Identifier: Apache-2.0
"""What is measured and simulated. Rates in Mbit/s of the link, sizes in bytes, times in seconds."""

MiB = 1 << 20
RATE = 200              # low, so that neither server nor clients are short of processor time
SLICE = 256 << 10       # one layer of one chunk
CHUNK_LAYERS = 12
OBJECTS_MAX = 8
UNIT = MiB // 2         # sizes of parallel GETs are whole numbers of this
BIG_BYTES = 36 * MiB


def gets(name, *flows):
    """Parallel GETs: (MiB, start, bound)."""
    clients = [{"key": "big", "objects": int(mib * MiB) // UNIT, "start": start, "ceil": ceil}
               for mib, start, ceil in flows]
    return {"name": name, "mode": "bulk", "layers": 1, "slice": UNIT, "connections": 1, "compute": 0, "rate": RATE,
            "clients": clients}


def as_ranges(case):
    """The same for real clients: one range of one object each."""
    ranges = [dict(c, objects=1, slice=c["objects"] * UNIT) for c in case["clients"]]
    return dict(case, mode="layerwise", clients=ranges)


GETS = [
    gets("1 flow", (32, 0, 0)),
    gets("2 flows, 1:3", (12, 0, 0), (36, 0, 0)),
    gets("4 flows, 1:2:4:8", (4, 0, 0), (8, 0, 0), (16, 0, 0), (32, 0, 0)),
    gets("6 flows, staggered", (28, 0, 0), (6, .3, 0), (12, .6, 0), (4, .9, 0), (8, 1.2, 0), (3, 1.5, 0)),
    gets("8 flows, equal", *[(8, 0, 0)] * 8),
    gets("16 flows, staggered", *[(2 + i % 3 * 2, .06 * i, 0) for i in range(16)]),
    gets("4 flows, two bounded", (4, 0, 25), (8, 0, 50), (20, 0, 0), (10, .7, 0)),
    gets("16 flows, bounds of 4 kinds", *[((1, 2, 3, 6)[i % 4], .04 * i, (5, 10, 20, 0)[i % 4]) for i in range(16)]),
]

SMOKE_GETS = [GETS[i] for i in (2, 6)]

MODES = [("chunkwise", {"mode": "chunkwise", "connections": 4}),
         ("ahead 1", {"mode": "layerwise", "lookahead": 1, "connections": 2}),
         ("ahead 2", {"mode": "layerwise", "lookahead": 2, "connections": 2}),
         ("unlimited", {"mode": "layerwise", "lookahead": 0, "connections": 2})]


def alone_s(objects, payload_frac):
    """Transfer of one layer when nobody else is on the link."""
    return objects * SLICE / (RATE * 1e6 / 8 * payload_frac)


def group(name, ratio, clients, payload_frac):
    """One set of clients in every mode. C is such that X / C of the first client is `ratio`, X at an equal share of the
    link, or at its bound."""
    first = clients[0]
    share = min(1 / len(clients), first["ceil"] / RATE if first["ceil"] else 1)
    compute = alone_s(first["objects"], payload_frac) / share / ratio
    return [dict(mode, name="%s, X/C %g: %s" % (name, ratio, word), group="%s, X/C %g" % (name, ratio), word=word,
                 layers=CHUNK_LAYERS, slice=SLICE, compute=compute, rate=RATE, clients=clients)
            for word, mode in MODES]


def client(objects, start=0, ceil=0):
    return {"key": "chunk", "objects": objects, "start": start, "ceil": ceil}


def layers(payload_frac, smoke=False):
    one = [client(7)]
    two = [client(5), client(4, .25)]
    four = [client(3), client(4, .1), client(3, .2), client(2, .3)]
    bound = [client(3, 0, 40), client(6, 0, 80), client(2, .1, 20), client(3, .2, 60)]
    if smoke:
        return group("1 client", 1, one, payload_frac)
    made = []
    for ratio in (.3, .7, 1.4, 3):
        made += group("1 client", ratio, one, payload_frac)
    for ratio in (.5, 2):
        made += group("2 clients", ratio, two, payload_frac)
    for ratio in (.7, 1.5):
        made += group("4 clients", ratio, four, payload_frac)
    for ratio in (.5, 1.5):
        made += group("4 bounded clients", ratio, bound, payload_frac)
    # One connection: between two of its requests nothing comes.
    made += [dict(c, connections=1) for c in group("1 client, 1 connection", 3, one, payload_frac)]
    return made
