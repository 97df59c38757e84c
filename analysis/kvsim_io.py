#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads kvsim results files (docs/results.md) with h5py.

    import kvsim_io
    requests = kvsim_io.load("results.h5")         # pandas.DataFrame, one row a request, times in seconds
    bins = kvsim_io.timeseries("results.h5")       # pandas.DataFrame, one row a bin of time
    tiers = kvsim_io.tiers("results.h5")           # pandas.DataFrame, one row a tier; links() likewise
    flows = kvsim_io.flows("results.h5")           # pandas.DataFrame, one row a fetch (output.flows: all)
    layers = kvsim_io.layers("results.h5")         # pandas.DataFrame by (request, layer) (output.layers: {sample: N})
    facts = kvsim_io.summary("results.h5")         # dict, the names of `kvsim run --json`

As a program: `kvsim_io.py FILE` prints the summary, `kvsim_io.py --digest FILE` checks /meta@content_sha256.
"""
import hashlib
import sys

import h5py
import numpy as np

try:
    import pandas as pd
except ImportError:   # values() needs it not
    pd = None

TEXT_ATTRIBUTES_OF_HDF5 = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}


def values(dataset):
    """Numbers as they are meant: CF scale factor applied, fill values as NaN, texts as str."""
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[...]
    raw = dataset[...]
    fill, scale = dataset.attrs.get("_FillValue"), dataset.attrs.get("scale_factor")
    missing = raw == fill if fill is not None else np.zeros(raw.shape, bool)
    if scale is not None:
        raw = raw * scale
    return np.where(missing, np.nan, raw) if missing.any() else raw


def _frame(group, scale):
    rows, columns = group[scale].shape[0], {}
    for name, dataset in group.items():
        if dataset.shape[:1] != (rows,) or (h5py.h5ds.is_scale(dataset.id) and name != scale):
            continue
        column = values(dataset)
        if column.ndim == 1:
            columns[name] = column
        else:
            labels = values(group[dataset.dims[1].keys()[0]])
            columns.update({"%s.%s" % (name, label): column[:, i] for i, label in enumerate(labels)})
    return pd.DataFrame(columns).set_index(scale)


def _named(frame, group, columns):
    for name in columns:
        meaning = dict(zip(group[name].attrs["flag_values"], group[name].attrs["flag_meanings"].split()))
        frame[name] = pd.Categorical(frame[name].map(meaning))
    return frame


def load(path):
    """One row a request. Adds ttft, tpot and e2e; status, slo_ok and limiting_stage are names; wide columns become
    prompt_tokens_by_source.hbm, bytes_by_tier.hbm, .."""
    with h5py.File(path, "r") as file:
        group = file["requests"]
        frame = _named(_frame(group, "request"), group, ("status", "slo_class", "slo_ok", "limiting_stage"))
    frame["ttft"] = frame.first_token - frame.arrival
    frame["e2e"] = frame.finish - frame.arrival
    gaps = (frame.generated_tokens - 1).where(frame.generated_tokens > 1)
    frame["tpot"] = (frame.finish - frame.first_token) / gaps
    return frame


def timeseries(path):
    """One row a bin; wide columns become gpu_util.0, tier_occupancy.hbm, link_util.nic.0.in, .."""
    with h5py.File(path, "r") as file:
        return _frame(file["timeseries"], "time")


def tiers(path):
    """Totals, one row a tier, from the fastest."""
    with h5py.File(path, "r") as file:
        return _frame(file["tiers"], "tier")


def links(path):
    """Totals, one row a link and direction; no rows when no link has a finite rate."""
    with h5py.File(path, "r") as file:
        return _frame(file["links"], "link") if "links" in file else pd.DataFrame()


def flows(path):
    """One row a fetch, in the order of ends; tier, mode and cut are names; no rows where none were recorded."""
    with h5py.File(path, "r") as file:
        if "flows" not in file:
            return pd.DataFrame()
        return _named(_frame(file["flows"], "fetch"), file["flows"], ("tier", "mode", "cut"))


def layers(path):
    """Times of each layer of the sampled requests, by (request, layer); no rows where none were recorded."""
    with h5py.File(path, "r") as file:
        if "layers" not in file:
            return pd.DataFrame()
        group = file["layers"]
        index = pd.MultiIndex.from_product([group["request"][...], group["layer"][...]], names=("request", "layer"))
        return pd.DataFrame({name: values(group[name]).ravel() for name in
                             ("fetch_end", "compute_start", "compute_end", "fetch_stall")}, index=index)


def quality(path):
    """The verdict: texts and numbers of /quality by name."""
    with h5py.File(path, "r") as file:
        return {name: values(dataset)[()] for name, dataset in file["quality"].items()}


def summary(path):
    """The facts of /summary by name."""
    with h5py.File(path, "r") as file:
        return {name: dataset[()] for name, dataset in file["summary"].items()}


def meta(path):
    """The attributes of /meta by name."""
    with h5py.File(path, "r") as file:
        return dict(file["meta"].attrs)


# ---- the content digest, made again by its definition in docs/results.md ----

def _print_of(data):
    """128 bits of a chunk (sim/out/pack.h)."""
    data = data.tobytes()
    words = np.frombuffer(data + bytes(-len(data) % 8), "<u8")
    index = np.arange(len(words), dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = words + (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        for _ in range(2):
            x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        x ^= x >> np.uint64(32)
        sums = [x.sum(dtype=np.uint64), (x * (np.uint64(2) * index + np.uint64(1))).sum(dtype=np.uint64)]
    return np.array(sums, "<u8").tobytes()


def _line(kind, path, type_name, shape, data):
    return "%s %s %s %s %s\n" % (kind, path, type_name, shape, hashlib.sha256(data).hexdigest())


def _attribute_line(path, name, value):
    place = "%s@%s" % (path, name)
    if isinstance(value, str):
        return _line("A", place, "utf8", "-", value.encode())
    if getattr(value, "dtype", None) == object:
        return _line("A", place, "utf8", str(len(value)), b"".join(text.encode() + b"\0" for text in value))
    value = np.asarray(value)
    return _line("A", place, value.dtype.str, str(len(value)) if value.ndim else "-", value.tobytes())


def _dataset_line(path, dataset):
    if h5py.check_string_dtype(dataset.dtype):
        if dataset.shape == ():
            return _line("D", path, "utf8", "-", dataset.asstr()[()].encode())
        texts = dataset.asstr()[...]
        return _line("D", path, "utf8", str(len(texts)), b"".join(text.encode() + b"\0" for text in texts))
    if dataset.chunks is None:
        return _line("D", path, dataset.dtype.str, "-", dataset[()].tobytes())
    step = dataset.chunks[0]
    prints = b"".join(_print_of(dataset[i:i + step]) for i in range(0, dataset.shape[0], step))
    return _line("D", path, dataset.dtype.str, ",".join(map(str, dataset.shape)), prints)


def _walk(group, path, lines):
    for name, item in group.items():
        below = path.rstrip("/") + "/" + name
        if path == "/meta" or path.startswith("/plots/"):
            continue
        lines.append(_line("G", below, "-", "-", b"") if isinstance(item, h5py.Group) else _dataset_line(below, item))
        for attribute, value in item.attrs.items():
            if attribute not in TEXT_ATTRIBUTES_OF_HDF5 and (below, attribute) != ("/meta", "content_sha256"):
                lines.append(_attribute_line(below, attribute, value))
        if isinstance(item, h5py.Group):
            _walk(item, below, lines)


def content_sha256(path):
    """What /meta@content_sha256 must be for the content of the file."""
    lines = []
    with h5py.File(path, "r") as file:
        lines += [_attribute_line("/", name, value) for name, value in file.attrs.items()]
        _walk(file, "/", lines)
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--digest":
        stored, made = meta(arguments[1])["content_sha256"], content_sha256(arguments[1])
        print("%s  %s" % (made, "as stored" if made == stored else "NOT AS STORED: %s" % stored))
        return made != stored
    if len(arguments) != 1:
        print(__doc__)
        return 2
    for name, value in summary(arguments[0]).items():
        print("%-36s %s" % (name, value))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
