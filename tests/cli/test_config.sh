#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# config init, check, show and schema on good scenarios (wrong ones: test_wrong_scenarios.sh).
. "$(dirname "$0")/../support/shell.sh"
root=$PWD
check() { # check WHAT COMMAND...
    local what=$1
    shift
    "$@" || fail "$what"
}

# The starter is a good scenario, and is not overwritten by accident.
"$KVSIM" config init >"$work/stdout.yaml" && "$KVSIM" config init "$work/mine.yaml" 2>"$work/err"
check "init writes the same to stdout and to a file" cmp "$work/stdout.yaml" "$work/mine.yaml"
check "init: the starter is a good scenario" "$KVSIM" config check "$work/mine.yaml" >"$work/out"
check "check says ok" [ "$(cat "$work/out")" = "$work/mine.yaml: ok" ]
echo kept >"$work/mine.yaml"
"$KVSIM" config init "$work/mine.yaml" 2>"$work/err"
check "init refuses to overwrite: exit code 7" [ $? = 7 ]
check "init refuses to overwrite: the file is kept" [ "$(cat "$work/mine.yaml")" = kept ]
check "init --force overwrites" "$KVSIM" config init --force "$work/mine.yaml" 2>"$work/err"

# What show prints is a scenario that shows as itself.
for scenario in configs/*.yaml; do
    "$KVSIM" config show "$scenario" >"$work/one.yaml" 2>"$work/err" &&
        "$KVSIM" config show "$work/one.yaml" >"$work/two.yaml" 2>>"$work/err"
    check "show $scenario: fixpoint" cmp "$work/one.yaml" "$work/two.yaml"
    "$KVSIM" config show --origin "$scenario" >"$work/origin.yaml" 2>>"$work/err"
    "$KVSIM" config show "$work/origin.yaml" >"$work/two.yaml" 2>>"$work/err"
    check "show --origin $scenario: comments only" cmp "$work/one.yaml" "$work/two.yaml"
    check "show --origin $scenario: names the file" grep -q "# $scenario:" "$work/origin.yaml"
done
"$KVSIM" config show --origin --set engine.max_num_seqs=7 configs/quickstart.yaml >"$work/set.yaml"
check "show: --set has its origin" grep -q 'max_num_seqs: 7 .*# --set engine.max_num_seqs=7' "$work/set.yaml"
"$KVSIM" config show --set nonsense configs/quickstart.yaml >"$work/out" 2>"$work/err"
check "a --set without value is a usage error" [ $? = 2 ]

# The smallest scenario stays small.
check "smallest.yaml has at most 6 lines" [ "$(wc -l <configs/smallest.yaml)" -le 6 ]

# Data files and trace are found from another folder, and through a link to the program.
ln -s "$KVSIM" "$work/linked"
check "from another folder" env -C / "$KVSIM" config check "$root/configs/quickstart.yaml" >/dev/null
check "through a link" env -C "$work" "$work/linked" config check "$root/configs/quickstart.yaml" >/dev/null
# Installed: PREFIX/bin/kvsim and PREFIX/share/kvsim.
mkdir -p "$work/prefix/bin" "$work/prefix/share/kvsim"
cp "$KVSIM" "$work/prefix/bin/kvsim"
cp -r models "$work/prefix/share/kvsim/models"
check "installed" env -C / "$work/prefix/bin/kvsim" config check "$root/configs/quickstart.yaml" >/dev/null
KVSIM_DATA=/nonexistent "$KVSIM" config check configs/quickstart.yaml >"$work/out" 2>"$work/err"
check "KVSIM_DATA decides" [ $? = 3 ]
check "KVSIM_DATA decides: message" grep -q 'set KVSIM_DATA' "$work/err"

# The schema is JSON, knows the keys of the complete scenario, and its patterns take what the scenarios say.
"$KVSIM" config schema >"$work/schema.json"
check "schema" "${PYTHON:-python3}" - "$work/schema.json" <<'PY'
import json, re, sys
schema = json.load(open(sys.argv[1]))
keys = schema["properties"]
for key in re.findall(r"^(\w+):", open("configs/three_tiers.yaml").read(), re.M):
    assert key in keys, key
assert keys["model"]["required"] == ["use"] and keys["model"]["additionalProperties"] is False
capacity = keys["tiers"]["items"][0]["properties"]["capacity"]["anyOf"]
assert capacity[0] == {"enum": ["auto"]} and re.match(capacity[1]["pattern"], "64GiB")
assert not re.match(capacity[1]["pattern"], "64") and not re.match(capacity[1]["pattern"], "64Gbps")
names = keys["compute"]["anyOf"][0]["enum"]
assert "roofline" in names and "affine" in names
assert keys["engine"]["properties"]["max_num_seqs"]["default"] == 256
assert keys["fetch"]["properties"]["lookahead_layers"]["default"] == "unlimited"

# The first tier and those below it have keys of their own; a store has the parameters of its kind.
lower = keys["tiers"]["additionalItems"]
assert lower["additionalProperties"] is False and "gpu_memory_utilization" not in lower["properties"]
assert {"dram", "disk", "remote", "object"} <= set(lower["properties"]["kind"]["enum"])
assert lower["properties"]["scope"]["enum"] == ["gpu", "node", "rack", "cluster"]
stores = [set(s["properties"]) for s in lower["properties"]["store"]["anyOf"] if s["type"] == "object"]
assert any("first_byte" in s and "queue_depth" not in s for s in stores) and all("profile" in s for s in stores)
links = keys["network"]["properties"]["links"]["additionalProperties"]["anyOf"]
assert any("bandwidth" in link.get("properties", {}) and "duplex" in link["properties"] for link in links)
assert "timeout" in keys["fetch"]["properties"]["policy"]["anyOf"][0]["enum"]
assert keys["disaggregation"]["properties"]["reserve"]["enum"] == ["on_arrival", "at_route"]
PY
[ $failed = 0 ] && echo "config: ok"
exit $failed
