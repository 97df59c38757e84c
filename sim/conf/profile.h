/* SPDX-License-Identifier: Apache-2.0 */
/* A GPU profile: what one layer of one model costs on one kind of GPU, measured and fitted. A folder with
 *
 *   profile.yaml   what was measured, where it comes from, how well the fit meets points it has not seen
 *   dense.csv      tokens of the step: one layer without attention; what comes once a step (embedding, last norm)
 *   head.csv       sequences that get a token: final projection and sampler, once a step
 *   prefill.csv    new and cached tokens of a chunk: attention of one layer
 *   decode.csv     sequences and their KV tokens: attention of one layer in a step without chunks
 *   mixed.csv      the same in a step with chunks, beside the smallest of them
 *   experts.csv    only of mixtures of experts, and optional: tokens and the experts that they meet, the routed experts
 *                  of one layer; with this file dense.csv is without them
 *   shares.csv     sequences, in thousandths: how far a decode batch of mixed lengths goes from the cost of its mean
 *                  length to that of its longest, without and with chunks; how much of the lesser of chunks' and
 *                  decodes' attention is added to the larger (0: they run side by side, 1000: one after the other)
 *
 * Times are those of one layer on one GPU of `tp`; docs/calibration.md. */
#ifndef KV_CONF_PROFILE_H
#define KV_CONF_PROFILE_H

#include "sim/base/err.h"
#include "sim/lib/knots.h"

#define KV_PROFILE_VERSION 1

/* Mean |error| / measured, of the points held out of the fit. */
struct kv_profile_errors { double dense, head, prefill, decode, mixed, shares; };

struct kv_profile {
    const char *gpu, *model, *dtype;   /* names of models/gpus and models/data; of weights and cache */
    int64_t tp;
    const char *engine, *measured, *source, *commit, *licence, *mode;
    /* A step with chunks starts blocks for every decoding sequence and each token of its longest chunk; most find
     * nothing to do, but starting takes time. One layer. */
    double mixed_block_s;
    int64_t holdout_permille, holdout_seed;
    struct kv_profile_errors holdout;
    struct kv_knots layer, once, head, prefill, decode, mixed, longest_decode, longest_mixed, added;
    struct kv_knots experts;   /* rows 0: none */
};

/* Reads FOLDER; all in the arena. A failure names file and line. */
bool kv_profile_read(struct kv_arena *arena, const char *folder, struct kv_profile *profile, struct kv_err *err);
/* Writes FOLDER, made if need be; what it read back as is the same profile. */
bool kv_profile_write(struct kv_arena *arena, const char *folder, const struct kv_profile *profile,
                      struct kv_err *err);

#endif
