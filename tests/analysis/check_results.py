# SPDX-License-Identifier: Apache-2.0
"""check_results.py FILE: what must hold inside every results file, by readers that are not kvsim's own."""
import os
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "analysis"))
import kvsim_io  # noqa: E402

path = sys.argv[1]
frame, facts, meta = kvsim_io.load(path), kvsim_io.summary(path), kvsim_io.meta(path)
bins = kvsim_io.timeseries(path)
with h5py.File(path, "r") as file:
    raw = {name: dataset[...] for name, dataset in file["requests"].items()}
    assert file.attrs["schema"] == "kvsim-results" and file.attrs["schema_version"].startswith("1.")
    for name, dataset in file["requests"].items():
        assert name in ("source", "tier") or "units" in dataset.attrs, name
        assert "long_name" in dataset.attrs, name
    for group in file["plots"].values():
        signal, axes = group[group.attrs["signal"]], np.atleast_1d(group.attrs["axes"])
        assert signal.shape == tuple(len(group[name]) for name in axes), group.name
        assert all(group[name].shape == signal.shape for name in group.attrs.get("auxiliary_signals", ())), group.name
    series = {name: dataset[...] for name, dataset in file["timeseries"].items()}
    tiers = file["tiers/tier"].asstr()[...]
    assert list(file["timeseries/tier"].asstr()[...]) == list(tiers)
    totals = {name: dataset[...] for name, dataset in file["tiers"].items()}
    links = {name: dataset[...] for name, dataset in file["links"].items()} if "links" in file else None
    for group in ("timeseries", "tiers") + (("links",) if links else ()):
        for name, dataset in file[group].items():
            assert "long_name" in dataset.attrs and (name in ("tier", "link") or "units" in dataset.attrs), name

# Rows stand in order of requests; sums of sources and of stages, in integers.
finished, scheduled = raw["status"] == 0, raw["first_sched"] >= 0
assert (raw["request"] == np.arange(len(frame))).all() and finished.any()
assert (raw["prompt_tokens_by_source"].sum(axis=1) == raw["prompt_tokens"])[scheduled].all()
stages = sum(raw["t_" + stage] for stage in ("queue", "fetch_stall", "prefill", "decode", "preempt"))
assert (stages == raw["finish"] - raw["arrival"])[finished].all()
assert (raw["finish"] == -1)[~finished].all() and (raw["last_token"] == raw["finish"]).all()
assert (raw["restarts"] == raw["preemptions"]).all()   # a preempted request computes its KV again

# The summary against numpy, over finished requests that arrived after the warm-up.
shown = frame[(frame.arrival >= meta["warmup_s"]) & (frame.status == "finished")]
measured = frame[(frame.arrival >= meta["warmup_s"]) & (frame.status != "failed")]
frame_queue = shown.t_queue
for name, values in (("ttft", shown.ttft), ("tpot", shown.tpot.dropna()), ("e2e", shown.e2e), ("queue", frame_queue),
                     ("fetch_stall", shown.t_fetch_stall), ("induced_stall", shown.t_induced_stall)):
    assert facts[name + ".count"] == len(values), name
    for label, wanted in [("mean", values.mean()), ("max", values.max())] + \
            [("p%d" % q, np.percentile(values, q)) for q in (50, 90, 95, 99)]:
        assert np.isclose(facts["%s.%s" % (name, label)], wanted, rtol=1e-9, atol=1e-15), (name, label)
span = shown.finish.max() - measured.arrival.min()
tokens = measured[measured.first_sched >= 0]
for name, wanted in (
        ("duration", span), ("request_throughput", len(shown) / span),
        ("output_token_throughput", shown.generated_tokens.sum() / span),
        ("total_token_throughput", (shown.generated_tokens.sum() + shown.prompt_tokens.sum()) / span),
        ("hit_ratio_token", 1 - tokens["prompt_tokens_by_source.compute"].sum() / tokens.prompt_tokens.sum()),
        ("hit_ratio_request_mean", (1 - tokens["prompt_tokens_by_source.compute"] / tokens.prompt_tokens).mean())):
    assert np.isclose(facts[name], wanted, rtol=1e-9), name
judged = measured[measured.slo_ok != "none"]
assert facts["slo_judged"] == len(judged)
if len(judged):
    assert np.isclose(facts["slo_attainment"], (judged.slo_ok == "met").mean())

# The bins against the requests.
assert bins.injected.sum() == len(frame) and bins.finished.sum() == finished.sum()
assert (series["tier_hits_tokens"].sum(axis=0) == raw["prompt_tokens_by_source"][:, :-1].sum(axis=0)).all()
assert (series["tier_evictions"].sum(axis=0) == totals["evicted_chunks"]).all()
for name in ("read_bytes", "written_bytes", "accesses", "waited_accesses", "dropped_chunks"):
    assert (series["tier_" + name].sum(axis=0) == totals[name]).all(), name
for name in (name for name in series if name.startswith("tier_")):
    assert series[name].shape == (len(bins), len(tiers)), name
    assert all("%s.%s" % (name, tier) in bins for tier in tiers), name
# Tokens asked of a tier are those not found above it, also of measured requests alone.
sources, prompt = series["tier_hits_tokens"], series["prompt_tokens"]
assert (series["tier_asked_tokens"] == prompt[:, None] - np.cumsum(sources, axis=1) + sources).all()
for i, tier in enumerate(tiers):
    above = sum((tokens["prompt_tokens_by_source.%s" % t] for t in tiers[:i]), 0 * tokens.prompt_tokens)
    asked, hits = (tokens.prompt_tokens - above).sum(), tokens["prompt_tokens_by_source.%s" % tier].sum()
    assert totals["asked_tokens"][i] == asked and totals["hit_tokens"][i] == hits
    for name, wanted in (("hit_ratio_token", tokens.prompt_tokens.sum()), ("hit_ratio_token_cond", asked)):
        for value in (totals[name][i], facts["%s.%s" % (name, tier)]):
            assert np.isclose(value, hits / wanted) if wanted else np.isnan(value), (name, tier)
room, held = totals["capacity_chunks"], series["tier_active"] + series["tier_inactive"]
finite, sampled = room >= 0, series["samples"] > 0
assert np.allclose((held + series["tier_free"])[sampled][:, finite], room[finite])
assert np.isnan(series["tier_free"][:, ~finite]).all() and np.isnan(totals["occupancy_mean"][~finite]).all()
# Stalls of requests that ended are part of those of the run.
assert raw["t_fetch_stall"].sum() <= series["fetch_stall"].sum()
assert raw["t_induced_stall"].sum() <= series["induced_stall"].sum()
assert (raw["t_induced_stall"] <= raw["t_prefill"] + raw["t_decode"]).all()
assert raw["bytes_by_tier"].shape == (len(frame), len(tiers)) and (raw["bytes_by_tier"] >= 0).all()
assert (raw["bytes_by_tier"].sum(axis=0) <= totals["read_bytes"])[1:].all()
assert links is None or (series["link_bytes"].sum(axis=0) == links["bytes"]).all()
if links is not None:
    assert list(kvsim_io.links(path).index) == [name.decode() for name in links["link"]]
    span = bins.time_end.values - bins.index.values
    known = links["capacity"] > 0
    assert np.allclose((series["link_util"] * span[:, None] * links["capacity"])[:, known],
                       series["link_bytes"][:, known])
    assert (series["link_util"][:, known] <= 1 + 1e-6).all() and (links["utilization_peak"][known] <= 1 + 1e-6).all()
    assert not series["link_bytes"][:, ~known].any()
assert list(kvsim_io.tiers(path).index) == list(tiers) and "saturation" in kvsim_io.quality(path)
# Of the fastest tier, whose blocks are also told by what they hold.
held, read = bins.active_blocks + bins.inactive_blocks, series["samples"] > 0
assert np.allclose(series["tier_occupancy"][read, 0], (held / (held + bins.free_blocks))[read])
assert (np.isnan(series["tier_occupancy"][:, 0]) == ~read).all() and np.nanmax(series["tier_occupancy"]) <= 1 + 1e-12
stepped = series["steps"] > 0
assert np.allclose((series["batch_tokens"] * series["steps"])[stepped],
                   (series["prefill_tokens"] + series["decode_tokens"])[stepped])
assert (np.isnan(series["batch_tokens"]) == ~stepped).all()
assert ((bins.filter(like="gpu_util") >= 0) & (bins.filter(like="gpu_util") <= 1 + 1e-9)).all().all()

# Fetches and layers, where they were recorded.
flows, layers = kvsim_io.flows(path), kvsim_io.layers(path)
if len(flows):
    assert (flows.index == np.arange(len(flows))).all() and (flows.end >= flows.begin).all()
    assert (flows.first_byte.dropna() >= flows.begin[flows.first_byte.notna()]).all()
    assert (flows.delivered_bytes <= flows.bytes).all()
    assert (flows.delivered_bytes == flows.bytes)[flows.cut == "no"].all()
    assert np.isclose(facts["fetch_time"], (flows.end - flows.begin).sum(), rtol=1e-9)
    moved = flows.groupby("tier", observed=True).delivered_bytes.sum()
    assert set(moved.index) <= set(tiers)
    assert all(moved.get(tier, 0) <= totals["read_bytes"][i] for i, tier in enumerate(tiers) if i)
    assert flows.request.isin(frame.index).all()
stalled = series["fetch_stall"].sum() * 2.0 ** -8 * 1e-9
if facts["fetch_time"]:
    assert np.isclose(facts["overlap_efficiency"], 1 - stalled / facts["fetch_time"], rtol=1e-9)
if len(layers):
    start, end = (layers[name].unstack() for name in ("compute_start", "compute_end"))
    stall, came = layers.fetch_stall.unstack(), layers.fetch_end.unstack()
    assert (np.diff(start.index) > 0).all() and (end >= start).all().all() and (stall >= 0).all().all()
    assert np.allclose(start.values[:, 1:] - end.values[:, :-1], stall.values[:, 1:], atol=1e-11)
    assert not (came > start).any().any()
    assert (frame.t_fetch_stall + frame.t_induced_stall).loc[start.index].gt(0).all()

assert kvsim_io.content_sha256(path) == meta["content_sha256"]
print("%s: %d requests, %d bins, %d fetches, %d requests by layer"
      % (path, len(frame), len(bins), len(flows), len(layers.index.unique(0)) if len(layers) else 0))
