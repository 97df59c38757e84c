#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvsim-calib-net over loopback: what is written, going on after an interruption, and what is refused.
. "$(dirname "$0")/../../support/shell.sh"
net=$(dirname "$KVSIM")/kvsim-calib-net
[ -x "$net" ] || skip "$net is not built (libucx-dev is missing)"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait; rm -rf "$work"' EXIT
export UCX_TLS=tcp UCX_NET_DEVICES=lo UCX_WARN_UNUSED_ENV_VARS=n

# CODE TEXT ARGS...: refused with that code, and a message with TEXT.
refused() {
    local code=$1 text=$2
    shift 2
    timeout 30 "$net" "$@" >"$work/out" 2>"$work/err" </dev/null
    [ $? = "$code" ] || fail "$*: not exit $code: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || fail "$*: '$(cat "$work/err")' has no '$text'"
    [ ! -s "$work/out" ] || fail "$*: something on stdout"
}
refused 2 "give --listen ADDRESS:PORT, or"
refused 2 "give --listen ADDRESS:PORT, or" 127.0.0.1:1
refused 2 "more: unknown option" 127.0.0.1:1 more -o "$work/p"
refused 2 "give --listen ADDRESS:PORT, or" --listen 127.0.0.1:1 -o "$work/p"
refused 2 "--operation: unknown value 'send'" 127.0.0.1:1 -o "$work/p" --operation send
refused 2 "--sizes: '65536' needs a unit" 127.0.0.1:1 -o "$work/p" --sizes 4KiB,65536
refused 2 "--sizes: '64KiB,4KiB': the values must rise" 127.0.0.1:1 -o "$work/p" --sizes 64KiB,4KiB
refused 2 "--sizes: '1GiB' is out of range (1B to 64MiB)" 127.0.0.1:1 -o "$work/p" --sizes 1GiB
refused 2 "--endpoints: '0' is out of range (1 to 256)" 127.0.0.1:1 -o "$work/p" --endpoints 0
refused 2 "--budget: '5' needs a unit" 127.0.0.1:1 -o "$work/p" --budget 5
refused 2 "'localhost': expected ADDRESS:PORT" localhost -o "$work/p"
refused 2 "'[::1]': expected ADDRESS:PORT" --listen "[::1]"
refused 7 "no server at 127.0.0.1:9: " 127.0.0.1:9 -o "$work/p"
[ ! -e "$work/p" ] || fail "a folder was made for nothing"
UCX_TLS=nonsense refused 77 "UCX finds no transport" 127.0.0.1:1 -o "$work/p"
"$net" --help | grep -q -- "--outstanding " || fail "no help"

# A port that is free: the first on which the server stays.
for port in $(seq $((20000 + $$ % 20000)) $((20020 + $$ % 20000))); do
    "$net" --listen "127.0.0.1:$port" 2>"$work/server" &
    server=$!
    for _ in $(seq 100); do
        grep -q listening "$work/server" && break 2
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    wait "$server"
    server=
done
[ -n "$server" ] || { fail "no server: $(cat "$work/server")"; exit 1; }
at=127.0.0.1:$port
small=(--sizes 8B,4KiB,64KiB --outstanding 1,4 --endpoints 1,2 --repeats 2 --batch 5ms)

# Interrupted in its middle: what was measured stays, and the rest is measured later.
"$net" "$at" -o "$work/p" "${small[@]}" --batch 300ms >"$work/out" 2>"$work/err" &
client=$!
for _ in $(seq 300); do [ "$(cat "$work/p/samples.csv" 2>/dev/null | wc -l)" -ge 3 ] && break; sleep 0.1; done
kill -INT "$client"
wait "$client"
[ $? = 130 ] || fail "an interrupted run does not end with 130: $(cat "$work/err")"
grep -q "interrupted; .*samples.csv keeps what was measured" "$work/err" || fail "interrupted: $(cat "$work/err")"
[ ! -e "$work/p/profile.yaml" ] || fail "a profile was written of a part"
cp "$work/p/samples.csv" "$work/part.csv"
refused 2 "exists; --resume measures what it has not" "$at" -o "$work/p" "${small[@]}"
timeout 60 "$net" "$at" -o "$work/p" "${small[@]}" --resume >"$work/out" 2>"$work/err" ||
    fail "resume: $(cat "$work/err")"
head -n "$(wc -l <"$work/part.csv")" "$work/p/samples.csv" | cmp -s - "$work/part.csv" || fail "samples were lost"
[ "$(wc -l <"$work/p/samples.csv")" = $((1 + 3 * 2 * 2 * 2)) ] || fail "not two samples a point"
[ "$(sed 1d "$work/p/samples.csv" | cut -d, -f3-5 | sort | uniq -c | awk '$1 != 2' | wc -l)" = 0 ] ||
    fail "not two samples for each point"
grep -q '^  transport: tcp/lo$' "$work/p/profile.yaml" || fail "transport: $(cat "$work/p/profile.yaml")"
# All is there: nothing is measured, the same comes out.
cp "$work/p/profile.yaml" "$work/profile.yaml"
timeout 60 "$net" "$at" -o "$work/p" "${small[@]}" --resume >"$work/again" 2>"$work/err"
[ ! -s "$work/err" ] || fail "measured again: $(cat "$work/err")"
diff "$work/profile.yaml" "$work/p/profile.yaml" || fail "the same samples, another profile"
refused 4 "samples of one kind belong in a file" "$at" -o "$work/p" "${small[@]}" --resume --operation write
echo "read,tcp/lo,1,1,8,3,x" >>"$work/p/samples.csv"
refused 4 "samples.csv:$((2 + 3 * 2 * 2 * 2))" "$at" -o "$work/p" "${small[@]}" --resume

# Through kvsim: the same, and flags of its own are refused by itself.
timeout 60 "$KVSIM" calib net "$at" -o "$work/k" "${small[@]}" >"$work/out" 2>"$work/err" &&
    grep -q "^kind: roce" "$work/k/profile.yaml" || fail "kvsim calib net: $(cat "$work/err")"
"$KVSIM" calib net "$at" --output "$work/k" --size 8B 2>&1 | grep -q "did you mean '--sizes'" || fail "kvsim calib net"

# Writes; and a budget that is too small for all.
timeout 60 "$net" "$at" -o "$work/w" "${small[@]}" --operation write >"$work/out" 2>"$work/err" ||
    fail "write: $(cat "$work/err")"
grep -q '^operation: write$' "$work/w/profile.yaml" || fail "operation: $(cat "$work/w/profile.yaml")"
# How much is measured in it depends on the machine: too few points for a fit is told, and one that has enough is found.
for budget in 200ms 800ms 3s 12s; do
    timeout 60 "$net" "$at" -o "$work/b$budget" "${small[@]}" --sizes 8B,1KiB,4KiB,16KiB,64KiB,256KiB \
        --outstanding 1,2,3,4,5,6,7,8 --repeats 9 --budget $budget >"$work/out" 2>"$work/err"
    grep -q "points are measured; a fit needs 4: .* a larger --budget" "$work/err" || break
done
grep -q "points are not measured: the budget was used up" "$work/out" || fail "budget: $(cat "$work/out" "$work/err")"

# A scenario takes it by its path, and the link is what it says.
cat >"$work/s.yaml" <<END
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: h100-sxm}}
tiers: [{kind: hbm, num_gpu_blocks: 1000}, {name: far, kind: remote, capacity: 1TiB}]
network: {links: {fabric: {profile: ./p}}}
workload: {trace: traces/sample/burstgpt_synth.csv.gz, format: burstgpt}
END
"$KVSIM" config show "$work/s.yaml" >"$work/shown" 2>"$work/err" || fail "scenario: $(cat "$work/err")"
for key in bandwidth latency message_cost; do
    grep -qF "$key: $(sed -n "s/^$key: //p" "$work/p/profile.yaml")" "$work/shown" || fail "$key is not the profile's"
done

# The server has gone.
kill "$server"
wait "$server" || fail "the server does not end well: $(cat "$work/server")"
server=
refused 7 "no server at $at: " "$at" -o "$work/n" "${small[@]}"
[ $failed = 0 ] || exit 1
echo "net: ok"
