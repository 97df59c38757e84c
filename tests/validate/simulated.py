# SPDX-License-Identifier: Apache-2.0
"""The same clients as kvsim sees them: a scenario and a trace made from a case, run by the ordinary program.

A client is a request on an instance of its own, whose prompt has `objects` chunks in an object store and a few tokens
more. Who wrote them there: an equal prompt, an hour of simulated time earlier, on another instance. A bound of a
client's own (Mbit/s) is a link that only it crosses: clients of one bound find their chunks in a tier of their own,
which has this link on its path.
"""
import csv
import json
import os
import subprocess

BLOCK_TOKENS = 8
TOKEN_BYTES = 4096      # of the model below: a token's KV of one layer
OWN_TOKENS = 2          # of a prompt that are not stored: a step needs something to compute
SEEDS_END_S = 36000.0   # when the measured clients begin, long after the last chunk was written
TIERS_MAX = 6


class Failed(Exception):
    pass


def shape(layers):
    """2 x 8 heads x 128 x 2 bytes a token and layer."""
    return {"name": "bed", "attention": "gqa", "layers": layers, "hidden": 1024, "heads": 8, "kv_heads": 8,
            "head_dim": 128, "intermediate": 4096, "vocabulary": 32000, "max_position_tokens": 16777216,
            "tied_embeddings": True, "dtype_bytes": 2, "kv_dtype_bytes": 2, "source": "made for tests/validate"}


def bounds(clients):
    """The bounds of a case: 0 is none. One tier each."""
    found = sorted({c.get("ceil", 0) for c in clients})
    if len(found) > TIERS_MAX:
        raise Failed("a case has %d different bounds; %d tiers is the most" % (len(found), TIERS_MAX))
    return found


def tiers_of(case, store):
    """Tiers in the order of look-up. Tier i holds the chunks of the clients of bounds 0 .. i and no more: these were
    written last, so what others wrote has been evicted from it."""
    tiers, held, links = [], 0, {}
    for number, bound in enumerate(bounds(case["clients"])):
        held += sum(c["objects"] for c in case["clients"] if c.get("ceil", 0) == bound)
        tier = {"name": "s3_%d" % number, "kind": "object", "scope": "cluster", "write": "through", "evict": "lru",
                "capacity": "%dB" % (held * case["layers"] * case["slice"]), "layout": "layer_major",
                "chunk_tokens": case["slice"] // TOKEN_BYTES, "store": store}
        if bound:
            tier["link"] = ["bound_%d" % number]
            links["bound_%d" % number] = {"kind": "fair", "bandwidth": "%rMbps" % bound, "scope": "node"}
        tiers.append(tier)
    return tiers, links


def scenario(case, store, payload_frac):
    clients = case["clients"]
    tokens = case["slice"] // TOKEN_BYTES
    most = max(c["objects"] for c in clients) * tokens + OWN_TOKENS
    tiers, links = tiers_of(case, store)
    fetch = {"mode": case["mode"]}
    if case["mode"] == "layerwise":
        fetch["lookahead_layers"] = case.get("lookahead", 0) or "unlimited"
    elif case["mode"] == "chunkwise":
        fetch["concurrency"] = case["connections"]
    links["fabric"] = {"kind": "fair", "bandwidth": "%rMbps" % case["rate"]}
    step_s = max(case["layers"] * case["compute"], 1e-9)
    return {
        "kvsim": 1, "name": "bed", "model": {"use": "shape.yaml"},
        "cluster": {"nodes": {"count": 2 * len(clients), "gpus": 1}, "instances": {"count": 2 * len(clients), "tp": 1}},
        "compute": {"kind": "affine", "prefill_base": "%.9fs" % step_s},
        "engine": {"max_num_seqs": 1, "max_num_batched_tokens": most, "chunked_prefill": False,
                   "block_tokens": BLOCK_TOKENS},
        "tiers": [{"name": "hbm", "kind": "hbm", "num_gpu_blocks": 2 * most // BLOCK_TOKENS + 2}] + tiers,
        "network": {"links": links}, "transfer": {"efficiency": payload_frac}, "fetch": fetch,
        "route": {"policy": "round_robin"},
        "workload": {"trace": "trace.jsonl", "prefix": "trace", "replay": "open",
                     "format": {"kind": "blocks", "block_tokens": BLOCK_TOKENS, "partial": "floor"}},
    }


def rows(case):
    """The writers, those of the loosest tier first; then the measured clients, each on the next instance."""
    tokens, ordered = case["slice"] // TOKEN_BYTES, []
    for bound in reversed(bounds(case["clients"])):
        ordered += [i for i, c in enumerate(case["clients"]) if c.get("ceil", 0) == bound]
    base, first_id = {}, 1
    for i, c in enumerate(case["clients"]):
        base[i] = first_id
        first_id += c["objects"] * tokens // BLOCK_TOKENS
    gap_s = SEEDS_END_S / 2 / len(ordered)

    def row(i, at_s):
        stored = case["clients"][i]["objects"] * tokens
        return {"arrival_s": round(at_s, 9), "input_toks": stored + OWN_TOKENS, "output_toks": 1,
                "block_ids": list(range(base[i], base[i] + stored // BLOCK_TOKENS))}

    made = [row(i, n * gap_s) for n, i in enumerate(ordered)]
    started = sorted(range(len(ordered)), key=lambda i: case["clients"][i].get("start", 0))
    made += [row(i, SEEDS_END_S + case["clients"][i].get("start", 0)) for i in started]
    return made, started


def tables(kvsim, layers, plan, trace_lines, folder, *names):
    """Runs a scenario; its tables as lists of rows."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "shape.yaml"), "w") as f:
        json.dump(shape(layers), f)
    with open(os.path.join(folder, "scenario.yaml"), "w") as f:
        json.dump(plan, f, indent=1)
    with open(os.path.join(folder, plan["workload"]["trace"]), "w") as f:
        f.writelines(line + "\n" for line in trace_lines)
    results = os.path.join(folder, "results.h5")
    call(kvsim, "run", os.path.join(folder, "scenario.yaml"), "-o", results, "--force")
    return [list(csv.DictReader(call(kvsim, "export", results, "csv", name).splitlines())) for name in names]


def run(kvsim, case, store, payload_frac, folder):
    """TTFT of each client, s."""
    made, started = rows(case)
    plan, lines = scenario(case, store, payload_frac), [json.dumps(r) for r in made]
    requests, = tables(kvsim, case["layers"], plan, lines, folder, "requests")
    measured = requests[len(requests) - len(started):]
    for i, r in zip(started, measured):
        stored = case["clients"][i]["objects"] * case["slice"] // TOKEN_BYTES
        if int(r["compute_toks"]) != OWN_TOKENS or int(r["input_toks"]) != stored + OWN_TOKENS:
            raise Failed("client %d of %s computes %s tokens in the simulation: its KV was not there" %
                         (i, case["name"], r["compute_toks"]))
    ttft_s = [0.0] * len(started)
    for i, r in zip(started, measured):
        ttft_s[i] = float(r["ttft_s"])
    return ttft_s


def first_bytes(kvsim, size_bytes, connections, count, rate, store, payload_frac, folder):
    """Waits for the first byte, s, when `connections` clients each ask for an object as soon as they have the last."""
    tokens = size_bytes // TOKEN_BYTES
    plan = {
        "kvsim": 1, "name": "bed", "model": {"use": "shape.yaml"},
        "cluster": {"nodes": {"count": connections, "gpus": 1}, "instances": {"count": connections, "tp": 1}},
        "compute": {"kind": "affine", "prefill_base": "1ns"},
        "engine": {"max_num_seqs": 1, "max_num_batched_tokens": tokens + OWN_TOKENS, "chunked_prefill": False,
                   "block_tokens": BLOCK_TOKENS},
        "tiers": [{"name": "hbm", "kind": "hbm", "num_gpu_blocks": tokens // BLOCK_TOKENS + 1},
                  {"name": "s3", "kind": "object", "capacity": "unlimited", "write": "none", "chunk_tokens": tokens,
                   "store": store}],
        "network": {"links": {"fabric": {"kind": "fair", "bandwidth": "%rMbps" % rate}}},
        "transfer": {"efficiency": payload_frac}, "fetch": {"mode": "bulk"}, "route": {"policy": "least_loaded"},
        "workload": {"trace": "trace.csv", "format": "hits", "resident_in": "s3",
                     "replay": {"mode": "closed", "clients": connections}},
        "output": {"flows": "all"},
    }
    lines = ["arrival_s,context_tokens,cached_tokens,output_tokens"]
    lines += ["0,%d,%d,1" % (tokens + OWN_TOKENS, tokens)] * count
    flows, = tables(kvsim, 1, plan, lines, folder, "flows")
    # The first of each client all come at one instant: the first of them sees nobody else.
    return [float(f["first_byte_s"]) - float(f["begin_s"]) for f in flows[connections:]]


def call(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed("%s: exit code %d\n%s" % (" ".join(words), done.returncode, done.stderr))
    return done.stdout
