#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The defaults of roofline are what models/fit_efficiency.py finds in the measured tables, within rounding (2 %).
. "$(dirname "$0")/../../support/shell.sh"
set -e
needs "$shared/groundtruth/ops"
models/fit_efficiency.py "$shared/groundtruth" --json > "$work/fit.json"
"$KVSIM" list compute roofline --json > "$work/list.json"
python3 - "$work/fit.json" "$work/list.json" <<'PYTHON'
import json
import sys

fit, (roofline,) = (json.load(open(path)) for path in sys.argv[1:])
unit = {"us": 1e-6, "ms": 1e-3, "s": 1}
wrong = seen = 0
for row in roofline["params"]:
    number = row["default"].rstrip("mus")
    value = float(number) * unit.get(row["default"][len(number):], 1)
    seen += 1
    if row["key"] not in fit or abs(value / fit[row["key"]] - 1) > 0.02:
        wrong += 1
        print("%s: default %s, the tables say %s" % (row["key"], row["default"], fit.get(row["key"])))
    if "groundtruth/" not in row["source"]:
        wrong += 1
        print("%s: its source names no file: %s" % (row["key"], row["source"]))
print("%d defaults compared" % seen)
sys.exit(wrong > 0 or seen != len(fit))
PYTHON
