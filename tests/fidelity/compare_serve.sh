#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Serves configs/serve on a real GPU (kvsim calib serve) and simulates the same (kvsim run) with the profile that was
# measured on it, and prints measured against simulated. Nothing of the simulation is taken from the runs compared but,
# where --host-overhead does not say it, the host's time between steps, which a short run of its own tells.
#   tests/fidelity/compare_serve.sh FOLDER [--profile PROFILE] [--copies RATE] [--host-overhead TIME] [--gpu N]
#                                   [--model NAME] [--layers N] [--blocks N] [--device cuda|clock] [--seqs N]
#                                   [--recorded RUNS]
# PROFILE: of kvsim calib gpu; without it prices are those of configs/serve (roofline). RATE: host to GPU, "50GB/s".
# RUNS: a folder of an earlier FOLDER's runs (calib/runs has some); nothing is served then, and no GPU is needed.
# KVSIM, PYTHON from the environment. Exit code 77 where there is no GPU.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
KVSIM=$(realpath "${KVSIM:-./kvsim}")
PYTHON=${PYTHON:-/usr/bin/python3}
usage() { sed -n 's/^#   //p' "$0"; exit 2; }
case ${1:-} in "" | -*) usage ;; esac
out=$1
shift
profile= copies= overhead= device=cuda named= recorded=
served=() both=()
while [ $# -gt 1 ]; do
    case $1 in
        --profile) profile=$(realpath "$2") ;;
        --copies) copies=$2 ;;
        --host-overhead) overhead=$2 ;;
        --device) device=$2 ;;
        --recorded) recorded=$(realpath "$2") ;;
        --gpu | --layers) served+=("$1" "$2") ;;
        --model) served+=("$1" "$2") named=$2 ;;
        --blocks) both+=(--set "tiers[0].num_gpu_blocks=$2") ;;
        --seqs) both+=(--set "engine.max_num_seqs=$2") ;;
        *) usage ;;
    esac
    shift 2
done
[ $# = 0 ] || usage
mkdir -p "$out" || exit 1

# CASE SCENARIO --set..: served for real, into FOLDER/CASE.
serve() {
    local case=$1 scenario=$2
    shift 2
    if [ -n "$recorded" ]; then
        cp -r "$recorded/$case" "$out/" || exit 1
        return
    fi
    echo "serving $case" >&2
    "$KVSIM" calib serve "configs/serve/$scenario.yaml" -o "$out/$case" --force --quiet --device "$device" \
        "${served[@]}" "${both[@]}" "$@"
    local code=$?
    [ $code = 0 ] || exit $code
}
# The same simulated, into sim.csv and layers_sim.csv beside it.
simulate() {
    local case=$1 scenario=$2 model=() price=() prices
    shift 2
    [ -z "$named" ] || model=(--set "model.use=$named")
    [ ! -e "$out/$case/model.yaml" ] || model=(--set "model.use=$(realpath "$out/$case/model.yaml")")
    prices="{kind: roofline, host_overhead: $overhead}"
    if [ -n "$profile" ]; then
        local eager=false   # the loop launches kernels one by one
        ! grep -q '^kernel_gap_eager:' "$profile/profile.yaml" || eager=true
        prices="{kind: table, profile: $profile, host_overhead: $overhead, enforce_eager: $eager}"
        price=(--set "cluster.nodes.gpu=$(sed -n 's/^gpu: *//p' "$profile/profile.yaml")")
    fi
    [ "$scenario" != overlap ] || [ -z "$copies" ] || price+=(--set "network.links.copies.bandwidth=$copies")
    "$KVSIM" run "configs/serve/$scenario.yaml" --quiet --force -o "$out/$case/sim.h5" "${model[@]}" "${both[@]}" \
        "${price[@]}" --set "compute=$prices" "$@" && "$KVSIM" export "$out/$case/sim.h5" csv requests \
        >"$out/$case/sim.csv" || exit 1
    [ "$scenario" != overlap ] || "$KVSIM" export "$out/$case/sim.h5" csv layers >"$out/$case/layers_sim.csv" || exit 1
}
recompute='fetch.policy={kind: threshold, min_tokens: 1000000000}'

serve warm online --set workload.limit=20
[ -n "$overhead" ] || overhead=$("$PYTHON" analysis/compare_serve.py --host-overhead "$out/warm") || exit 1
serve online online
serve layerwise overlap
serve chunkwise overlap --set fetch.mode=bulk
serve recompute overlap --set "$recompute"
simulate online online
simulate layerwise overlap
simulate chunkwise overlap --set fetch.mode=bulk
simulate recompute overlap --set "$recompute"
"$PYTHON" analysis/compare_serve.py "$out"
