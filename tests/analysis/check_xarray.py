# SPDX-License-Identifier: Apache-2.0
"""check_xarray.py FILE ENGINE: xarray sees dimensions, labels, scaled times and missing values."""
import sys

import h5py
import numpy as np
import xarray as xr

path, engine = sys.argv[1:]
requests = xr.open_dataset(path, engine=engine, group="requests")
assert set(requests.sizes) == {"request", "source", "tier"}, requests.sizes
for name, variable in requests.variables.items():
    assert variable.dims[0] == (name if name in ("source", "tier") else "request"), name
    assert variable.dtype.kind not in "mM", name   # "s" is no time delta
assert (requests.prompt_tokens_by_source.sum("source") == requests.prompt_tokens)[
    ~np.isnan(requests.first_sched.values)].all()
assert requests.bytes_by_tier.dims == ("request", "tier")
assert list(requests.tier.values) == list(requests.source.values[:-1])
cached = requests.prompt_tokens_by_source.sel(source="hbm")
assert cached.dims == ("request",)
assert requests.arrival.dtype.kind == "f" and float(requests.arrival[0]) == 0.0
unfinished = requests.status.values != 0
assert np.isnan(requests.finish.values[unfinished]).all() and not np.isnan(requests.finish.values[~unfinished]).any()
bins = xr.open_dataset(path, engine=engine, group="timeseries")
assert bins.gpu_util.dims == ("time", "instance") and bins.queue_depth.dims == ("time",)
for name in (name for name in bins.variables if name.startswith("tier_")):
    assert bins[name].dims == ("time", "tier"), name
    assert bins[name].sel(tier="hbm").shape == (bins.sizes["time"],), name
with_links = "link" in bins.sizes
if with_links:
    links = xr.open_dataset(path, engine=engine, group="links")
    for name in ("link_util", "link_bytes", "link_flows"):
        assert bins[name].dims == ("time", "link"), name
    assert list(links.link.values) == list(bins.link.values)
    assert (bins.link_bytes.sum("time") == links.bytes).all()
    xr.open_dataset(path, engine=engine, group="plots/links").load()
with h5py.File(path, "r") as file:
    with_flows, with_layers = "flows" in file, "layers" in file
if with_flows:
    flows = xr.open_dataset(path, engine=engine, group="flows")
    assert all(variable.dims == ("fetch",) for variable in flows.variables.values()), flows
    assert flows.granted.dtype.kind == "f" and flows.end.dtype.kind == "f"
if with_layers:
    layers = xr.open_dataset(path, engine=engine, group="layers")
    assert layers.fetch_stall.dims == ("request", "layer") and layers.ready.dims == ("request",)
    assert (layers.compute_end >= layers.compute_start).all()
for group in ("summary", "tiers", "quality", "meta", "plots/queues", "plots/cache"):
    xr.open_dataset(path, engine=engine, group=group).load()
print("xarray with %s: %s" % (engine, dict(requests.sizes)))
