#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fetches published traces from their public addresses into traces/data/ and checks them.
#
#   traces/fetch.sh                 what there is
#   traces/fetch.sh NAME|GROUP...   fetch; groups: burstgpt mooncake azure all
#
# A file that is there already and has the right sum is left alone; an interrupted one is resumed. Exit code 0: all
# asked for is there and good; 1: something is not. KVSIM_TRACE_DIR changes the folder, KVSIM_TRACE_MIRROR (such as
# file:///data/traces) the place that files are taken from, by their names alone.
set -u
folder=${KVSIM_TRACE_DIR:-$(cd "$(dirname "$0")" && pwd)/data}
mirror=${KVSIM_TRACE_MIRROR:-}
burstgpt=https://github.com/HPMLL/BurstGPT/releases/download/v2.0
mooncake=https://raw.githubusercontent.com/kvcache-ai/Mooncake/main/FAST25-release/traces
azure=https://raw.githubusercontent.com/Azure/AzurePublicDataset/master/data
azure2024=https://github.com/Azure/AzurePublicDataset/releases/download/dataset-llm-2024

# group, file, sha256 ("-": none known), size, licence, address
list="
burstgpt BurstGPT_1.csv 4bb3783693d0a435686fbfc885615d2349bd067239079fa4b749f2e679e12122 52MB CC-BY-4.0 $burstgpt/BurstGPT_1.csv
burstgpt BurstGPT_2.csv 44bf5942b03fca42c01a226a545ad3a750ec62688faecd67b6831c56a8928bf7 145MB CC-BY-4.0 $burstgpt/BurstGPT_2.csv
burstgpt BurstGPT_3.csv 2299986a07388aa303ec2c41d1131e756db650a39ed6ef9dfe7cc3d7f9a43b8f 232MB CC-BY-4.0 $burstgpt/BurstGPT_3.csv
mooncake conversation_trace.jsonl b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df 3MB Apache-2.0 $mooncake/conversation_trace.jsonl
mooncake toolagent_trace.jsonl 48a2db1a13d3bc05e6330140c64f604ba366df20d3c9e128b5c35a01c1fa5f71 4MB Apache-2.0 $mooncake/toolagent_trace.jsonl
mooncake synthetic_trace.jsonl bd070915a98fc0ed264d7cfef2ce746002eb3076a695ec31ba2674c0111ec131 1MB Apache-2.0 $mooncake/synthetic_trace.jsonl
azure AzureLLMInferenceTrace_conv.csv 2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8 1MB CC-BY-4.0 $azure/AzureLLMInferenceTrace_conv.csv
azure AzureLLMInferenceTrace_code.csv 54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6 1MB CC-BY-4.0 $azure/AzureLLMInferenceTrace_code.csv
azure AzureLLMInferenceTrace_conv_1week.csv a0cc9b969a9bbf0fd811802cbf4323edd3a209ace791e3799ad4f9207f213941 1GB CC-BY-4.0 $azure2024/AzureLLMInferenceTrace_conv_1week.csv
"

show() {
    echo "traces/fetch.sh NAME|GROUP...   into $folder"
    echo "$list" | while read -r group file sum size licence address; do
        [ -n "$group" ] || continue
        [ -f "$folder/$file" ] && state=present || state=-
        printf '  %-9s %-40s %6s %-10s %s\n' "$group" "$file" "$size" "$licence" "$state"
    done
}

# True when file $1 has sum $2, or when no sum is known.
good() {
    [ "$2" = - ] || [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]
}

# Takes $1 (an address) into $2, going on where an earlier try stopped.
take() {
    if command -v curl >/dev/null; then
        curl --fail --location --retry 2 --connect-timeout 20 --continue-at - --no-progress-meter --output "$2" "$1"
    elif command -v wget >/dev/null && [ "${1#file://}" = "$1" ]; then
        wget --continue --tries 3 --timeout 20 --no-verbose --output-document "$2" "$1"
    elif [ "${1#file://}" != "$1" ]; then
        cp "${1#file://}" "$2"
    else
        echo "fetch.sh: neither curl nor wget is installed" >&2
        return 127
    fi
}

fetch() {
    local file=$1 sum=$2 address=$3 goal=$folder/$1
    [ -n "$mirror" ] && address=$mirror/$file
    if [ -f "$goal" ] && good "$goal" "$sum"; then
        echo "$file: present and good"
        return 0
    fi
    mkdir -p "$folder" || return 1
    echo "$file: from $address"
    # A finished .part is not asked for again: servers answer "range not satisfiable".
    if ! { [ -f "$goal.part" ] && [ "$sum" != - ] && good "$goal.part" "$sum"; } && ! take "$address" "$goal.part"; then
        echo "$file: could not be fetched from $address" >&2
        echo "  Is this machine online? Try again: what has come is kept. Or put the file at $goal by hand." >&2
        return 1
    fi
    if ! good "$goal.part" "$sum"; then
        echo "$file: the sha256 is $(sha256sum "$goal.part" | cut -d' ' -f1), expected $sum" >&2
        echo "  The published file has changed or came damaged; it is left at $goal.bad" >&2
        mv "$goal.part" "$goal.bad"
        return 1
    fi
    mv "$goal.part" "$goal"
    [ "$sum" = - ] && echo "$file: here (no sum is known to check it)" || echo "$file: here, sha256 as published"
}

[ $# -gt 0 ] || { show; exit 0; }
failed=0
for wanted in "$@"; do
    found=
    while read -r group file sum size licence address; do
        [ -n "$group" ] || continue
        if [ "$wanted" = all ] || [ "$wanted" = "$group" ] || [ "$wanted" = "$file" ]; then
            found=1
            fetch "$file" "$sum" "$address" || failed=1
        fi
    done <<<"$list"
    if [ -z "$found" ]; then
        echo "fetch.sh: nothing is called '$wanted'; see traces/fetch.sh" >&2
        failed=1
    fi
done
exit $failed
