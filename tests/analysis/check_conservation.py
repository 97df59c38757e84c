# SPDX-License-Identifier: Apache-2.0
"""check_conservation.py FILE REQUESTS [FAILED]: nothing is lost on the way (design.md 6), of a run that ended by
itself, with instances of one GPU and no tier written on eviction. In integers: tokens, ticks, bytes, chunks."""
import sys

import h5py
import numpy as np

path, requests = sys.argv[1], int(sys.argv[2])
with h5py.File(path, "r") as file:
    row = {name: dataset[...] for name, dataset in file["requests"].items()}
    tiers = {name: dataset[...] for name, dataset in file["tiers"].items()}
    link = {name: dataset[...] for name, dataset in file["links"].items()}
    series = {name: dataset[...] for name, dataset in file["timeseries"].items()}
    status = file["meta"].attrs["status"]
    names = [name.decode() for name in file["tiers/tier"][...]]
carried = dict(zip((name.decode() for name in link["link"]), link["bytes"]))

# 1. Every request ends exactly once; the four ends add up.
ends = np.bincount(row["status"], minlength=4)
assert status in (b"complete", "complete") and ends.sum() == len(row["request"]) == requests
assert (row["request"] == np.arange(requests)).all() and len(set(row["trace_row"])) == requests
assert ends[3] == 0 and (len(sys.argv) < 4 or ends[2] == int(sys.argv[3]))
finished = row["status"] == 0
assert (row["generated_tokens"] == row["output_tokens"])[finished].all()

# 2. Prompt tokens by source sum to the prompt; the last one is always computed.
assert (row["prompt_tokens_by_source"].sum(axis=1) == row["prompt_tokens"])[finished].all()
assert (row["prompt_tokens_by_source"][finished, -1] >= 1).all() and (row["prompt_tokens_by_source"] >= 0).all()

# 3. Stages sum to the end-to-end time, in ticks.
stages = [row["t_" + stage] for stage in ("queue", "fetch_stall", "prefill", "decode", "preempt")]
assert (sum(stages) == row["finish"] - row["arrival"])[finished].all()
assert all((stage >= 0).all() for stage in stages)
assert (row["arrival"] <= row["first_sched"])[finished].all()
assert (row["first_sched"] < row["first_token"])[finished].all()

# 4. No tier above its capacity, no link above its rate; chunks and bytes.
held, sampled = series["tier_active"] + series["tier_inactive"], series["samples"] > 0
assert (held[sampled] <= tiers["capacity_chunks"] * (1 + 1e-12)).all()
assert (tiers["inserted_chunks"] >= tiers["evicted_chunks"])[1:].all()
assert (tiers["inserted_chunks"] - tiers["evicted_chunks"] <= tiers["capacity_chunks"])[1:].all()
assert (row["bytes_by_tier"].sum(axis=0) == tiers["read_bytes"]).all()


def over(*ends):
    """Bytes over all links whose name begins and ends so."""
    return sum(count for name, count in carried.items() if name.startswith(ends[0]) and name.endswith(ends[1]))


def same(bytes_over_links, counted, writes_dropped):
    """A link also carried the begun byte of a write that was dropped under way."""
    return counted <= bytes_over_links <= counted + writes_dropped


read, written, dropped = tiers["read_bytes"], tiers["written_bytes"], tiers["dropped_chunks"]
assert over("pcie.", ".in") == read.sum() and same(over("pcie.", ".out"), written.sum(), dropped.sum())
for i, name in enumerate(names):
    device = over("device.%s." % name, "")
    assert device == 0 or same(device, read[i] + written[i], dropped[i]), name   # 0: a store without a rate of its own
assert over("gateway.", ".in") == over("nic.", ".in") == read[-1]
assert all(same(over(name, ".out"), written[-1], dropped[-1]) for name in ("gateway.", "nic.", "fabric."))
assert (link["utilization_peak"] <= 1 + 1e-6).all()
print("%d requests (%d finished, %d rejected, %d failed), %d prompt tokens from %s; %.1f TB read, %.1f TB written"
      % (requests, ends[0], ends[1], ends[2], row["prompt_tokens"][finished].sum(),
         ", ".join("%s %d" % pair for pair in zip(names + ["compute"], row["prompt_tokens_by_source"].sum(axis=0))),
         read.sum() / 1e12, written.sum() / 1e12))
