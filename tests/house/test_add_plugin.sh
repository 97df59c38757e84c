#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Adding a plug-in is one new file. In a copy of the tree: the policy that README prints, a compute model and a reader,
# each with a parameter; all three must turn up in `list`, in error messages, in their contract tests and in runs.
. "$(dirname "$0")/../support/shell.sh"
. tests/house/copy_tree.sh

copy_tree "$work/copy"
cd "$work/copy"

# The first C block of README, as it stands there.
awk '/^```c$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' README.md >policies/evict/slru.c
[ -s policies/evict/slru.c ] || fail "README has no C block"

cat >models/compute/fixed.c <<'C'
/* SPDX-License-Identifier: Apache-2.0 */
/* Every step takes the same time. */
#include "sim/iface/compute.h"

struct fixed_params { double step_s; };
static const struct kv_param params[] = {
    { "step", KV_DIM_TIME, offsetof(struct fixed_params, step_s), "10ms", 1e-9, 3600, NULL, "time of a step", NULL },
    KV_PARAM_END
};

static bool open_state(void *state, const void *given, const struct kv_compute_env *env, struct kv_err *err)
{
    (void)env; (void)err;
    *(kv_cost *)state = kv_cost_from_s(((const struct fixed_params *)given)->step_s);
    return true;
}

static struct kv_run price(const void *state, const struct kv_batch *batch)
{
    return (struct kv_run){*(const kv_cost *)state, 0, batch->chunk_count ? 1 : INT64_MAX};
}

const struct kv_compute_ops kv_compute_fixed = {
    .info = { .help = "every step takes the same time", .params = params, .params_bytes = sizeof(struct fixed_params) },
    .state_bytes = sizeof(kv_cost), .open = open_state, .price = price,
};
C

cat >traces/reader/metronome.c <<'C'
/* SPDX-License-Identifier: Apache-2.0 */
/* A generator: equal requests at equal gaps. */
#include "sim/iface/reader.h"

struct metronome_params { double gap_s; int64_t rows; };
static const struct kv_param params[] = {
    { "gap", KV_DIM_TIME, offsetof(struct metronome_params, gap_s), "1s", 0, 3600, NULL, "between arrivals", NULL },
    { "rows", KV_DIM_COUNT, offsetof(struct metronome_params, rows), "20", 1, 1e9, NULL, "how many", NULL },
    KV_PARAM_END
};
struct metronome { int64_t gap_ns, rows, given; };

static bool open_state(void *state, const void *given, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)env; (void)err;
    const struct metronome_params *p = given;
    *(struct metronome *)state = (struct metronome){(int64_t)(p->gap_s * 1e9), p->rows, 0};
    return true;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    (void)err;
    struct metronome *m = state;
    if (m->given == m->rows) return 0;
    *row = (struct kv_row){.time_ns = m->given++ * m->gap_ns, .input_tokens = 100, .output_tokens = 11,
                           .elapsed_ns = -1, .think_ns = -1, .turn = -1, .model = "", .session = "", .slo_class = ""};
    return 1;
}

static void stats(const void *state, struct kv_reader_stats *s)
{
    *s = (struct kv_reader_stats){.rows = ((const struct metronome *)state)->given};
}

static void close_state(void *state) { (void)state; }

const struct kv_reader_ops kv_reader_metronome = {
    .info = { .help = "equal requests at equal gaps", .params = params, .params_bytes = sizeof(struct metronome_params) },
    .generates = true, .state_bytes = sizeof(struct metronome),
    .open = open_state, .next = next_row, .stats = stats, .close = close_state,
};
C

make_there kvsim build/release/tests/policies/evict/test_contract build/release/tests/models/compute/test_contract \
    >"$work/make" 2>&1 || { tail -20 "$work/make"; echo "FAIL: the three plug-ins do not build"; exit 1; }

# list: names, parameters with their defaults
./kvsim list >"$work/list"
for name in slru fixed metronome; do grep -qw "$name" "$work/list" || fail "list lacks $name"; done
listed() { ./kvsim list $1 $2 >"$work/one" 2>&1; grep -q "$3" "$work/one" || { fail "list $1 $2 lacks $3"; cat "$work/one"; }; }
listed evict slru 'protect .*0.8'
listed compute fixed 'step .*10ms'
listed readers metronome 'gap .*1s'

# messages: the lists of what is known, the nearest name, the parameter's range
cat >"$work/wrong.yaml" <<'Y'
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: h100-sxm}}
compute: {kind: fixd}
tiers: [{name: hbm, kind: hbm, capacity: auto, evict: {kind: slru, protect: 1.5}}]
workload: {format: {kind: metronom}}
Y
./kvsim config check "$work/wrong.yaml" >"$work/messages" 2>&1
[ $? = 3 ] || fail "wrong names: exit code is not 3"
said() { grep -q -- "$1" "$work/messages" || { fail "no message has '$1':"; cat "$work/messages"; }; }
said "'fixd'; known: affine, fixed, prefill_points, roofline, table"
said "did you mean 'fixed'?"
said "'metronom'; known: azure, .*metronome"
said "protect: .*1.5"
./kvsim run configs/smallest.yaml --set 'tiers[0].evict=slrru' >"$work/messages" 2>&1
said "'slrru'; known: fifo, lru, slru"

# contract tests: these run every registered plug-in
for family in policies/evict models/compute; do
    build/release/tests/$family/test_contract >"$work/contract" 2>&1 || { fail "contract of $family"; tail -40 "$work/contract"; }
done

# A run with all three. A step takes 20 ms: one to prefill, ten to decode, so TTFT is 20 ms and E2E 220 ms exactly.
cat >"$work/right.yaml" <<'Y'
model: {use: llama-3.1-8b}
cluster: {nodes: {gpu: h100-sxm}}
compute: {kind: fixed, step: 20ms, host_overhead: 0s}
tiers: [{name: hbm, kind: hbm, num_gpu_blocks: 64, evict: {kind: slru, protect: 0.25}}]
workload: {format: {kind: metronome, gap: 500ms, rows: 30}}
Y
./kvsim run "$work/right.yaml" >"$work/table" 2>"$work/messages" || { fail "the run"; cat "$work/messages"; }
for line in '30 requests in 14.72 s' 'TTFT *20.00 ms *20.00 ms' 'E2E *220.0 ms *220.0 ms'; do
    grep -q "$line" "$work/table" || { fail "no line '$line' in the table"; cat "$work/table"; }
done

# The policy decides: with few blocks, conversations hit otherwise than under lru.
conversations() {
    ./kvsim run configs/quickstart.yaml --set cluster.instances.count=1 --set workload.limit=3000 \
        --set "tiers[0]={name: hbm, kind: hbm, num_gpu_blocks: 1000, evict: $1}" 2>"$work/messages" | grep '^hit ratio' ||
        { fail "the run with $1"; cat "$work/messages"; }
}
[ "$(conversations lru)" != "$(conversations '{kind: slru, protect: 0.5}')" ] || fail "slru hits exactly as lru does"
[ "$(conversations lru)" = "$(conversations '{kind: slru, protect: 0}')" ] || fail "slru that protects nothing is not lru"

[ $failed = 0 ] && echo "plug-ins: README's policy, a compute model and a reader, one file each"
exit $failed
