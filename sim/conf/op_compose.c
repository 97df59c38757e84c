/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/op_compose.h"

#include "sim/conf/collective.h"
#include "sim/lib/fit.h"

/* One model on one GPU of tp. */
struct parts {
    const struct kv_op_profile *ops;
    const struct kv_model_shape *shape;
    int32_t tp, heads, kv_heads;  /* of one GPU: KV heads are replicated when there are fewer than GPUs */
    enum kv_op_part gemm, moe;
    const char *cache;            /* type of the KV cache */
    double gap_us;                /* of each kernel, beyond its time by itself */
    struct kv_knots all_reduce;   /* between the tp GPUs, over bytes */
};

static double gemm_us(const struct parts *m, enum kv_op_part part, int64_t rows, int64_t out, int64_t in)
{
    return kv_op_profile_us(m->ops, part, kv_op_parts[part].type, (int64_t[KV_OP_KEYS_MAX]){rows, out, in});
}

static double small_us(const struct parts *m, int32_t small, double bytes)
{
    const struct kv_op_small *s = &m->ops->small[small];
    return 1e6 * (s->base_s + bytes / s->rate_Bps);
}

static double all_reduce_us(const struct parts *m, double bytes)
{
    return m->tp > 1 ? kv_collective_ns(&m->all_reduce, bytes) * 1e-3 : 0;
}

static double mlp_us(const struct parts *m, int64_t tokens, int64_t width)
{
    width /= m->tp;
    return gemm_us(m, m->gemm, tokens, 2 * width, m->shape->hidden)
           + gemm_us(m, m->gemm, tokens, m->shape->hidden, width)
           + small_us(m, KV_SMALL_ACTIVATION, 6.0 * (double)(tokens * width));
}

static double experts_us(const struct parts *m, int64_t tokens)
{
    const struct kv_model_shape *s = m->shape;
    const int64_t key[KV_OP_KEYS_MAX] = {tokens, s->hidden, s->expert_intermediate, s->experts_per_token, s->experts,
                                         m->tp, 1};
    double us = kv_op_profile_us(m->ops, m->moe, kv_op_parts[m->moe].type, key)
                + gemm_us(m, KV_PART_GEMM_BF16, tokens, s->experts, s->hidden);
    if (s->shared_experts) us += mlp_us(m, tokens, (int64_t)s->shared_experts * s->expert_intermediate);
    return us;
}

/* The mean of all layers: the first ones of a mixture of experts may be dense. */
static double layer_us(const struct parts *m, int64_t tokens)
{
    const struct kv_model_shape *s = m->shape;
    int64_t queries = (int64_t)m->heads * s->head_dim, keys = (int64_t)m->kv_heads * s->head_dim;
    double rows = (double)tokens, dense = s->experts ? (double)s->dense_layers / s->layers : 1;
    double us = (KV_OP_LAYER_KERNELS + (s->qk_norm ? 2 : 0) + (dense < 1)) * m->gap_us;
    if (dense > 0) us += dense * mlp_us(m, tokens, s->intermediate);
    if (dense < 1) us += (1 - dense) * experts_us(m, tokens);
    if (s->qk_norm)
        us += small_us(m, KV_SMALL_NORM, 4 * rows * (double)queries)
              + small_us(m, KV_SMALL_NORM, 4 * rows * (double)keys);
    return us + gemm_us(m, m->gemm, tokens, queries + 2 * keys, s->hidden)
           + gemm_us(m, m->gemm, tokens, s->hidden, queries) + 2 * small_us(m, KV_SMALL_NORM, 8.0 * rows * s->hidden)
           + small_us(m, KV_SMALL_ROTARY, 4 * rows * (double)(queries + keys))
           + small_us(m, KV_SMALL_SCATTER, 8 * rows * (double)keys) + 2 * all_reduce_us(m, 2 * rows * s->hidden);
}

static double once_us(const struct parts *m, int64_t tokens)
{
    double bytes = (double)tokens * m->shape->hidden;
    return small_us(m, KV_SMALL_NORM, 4 * bytes) + small_us(m, KV_SMALL_NORM, 8 * bytes) + all_reduce_us(m, 2 * bytes)
           + 2 * m->gap_us;
}

static double head_us(const struct parts *m, int64_t sequences)
{
    double logits = (double)sequences * m->shape->vocabulary;
    return gemm_us(m, KV_PART_GEMM_BF16, sequences, m->shape->vocabulary / m->tp, m->shape->hidden)
           + all_reduce_us(m, 2 * logits / m->tp) + small_us(m, KV_SMALL_ACTIVATION, 4 * logits) + 2 * m->gap_us;
}

/* ---- knots ---- */

/* Where a tile is full, and where a new one has just begun. */
static const int64_t token_knots[] = {
    1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 17, 25, 32, 33, 41, 48, 49, 57, 64, 65, 73, 80, 81, 96, 97, 112, 113, 128, 129,
    160, 161, 192, 193, 224, 225, 256, 257, 321, 384, 385, 449, 512, 513, 641, 768, 769, 897, 1024, 1025, 1153, 1280,
    1281, 1409, 1536, 1537, 1665, 1792, 1793, 1921, 2048, 2049, 2177, 2304, 2305, 2561, 2816, 3073, 3329, 3584, 3841,
    4096, 4097, 4353, 5121, 6145, 7169, 8192, 8193, 10241, 12289, 14337, 16384, 16385, 20481, 24577,
    28673, 32768,
};
static const int64_t sequence_knots[] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768, 1024,
                                         2048};
static const int64_t context_knots[] = {1, 16, 32, 64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144,
                                        8192, 12288, 16384, 24576, 32768, 49152, 65536, 98304, 131071};
static const int64_t fresh_knots[] = {2, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
                                      6144, 8192, 10240, 12288, 16384};
static const int64_t cached_knots[] = {0, 64, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384, 32768};
#define COUNT(list) ((int32_t)(sizeof list / sizeof *list))

struct axis { const int64_t *at; int32_t count; };

/* The knots up to `most`, and at least the first two. */
static struct axis up_to(const int64_t *at, int32_t count, int64_t most)
{
    while (count > 2 && at[count - 1] > most) count--;
    return (struct axis){at, count};
}

typedef double price_us(const struct parts *m, int64_t x, int64_t y);

static void fill(struct kv_arena *arena, const struct parts *m, price_us *price, struct axis x, struct axis y,
                 struct kv_knots *knots)
{
    struct kv_arena scratch = {0};
    size_t count = 0;
    struct kv_fit_point *point = kv_arena_take(&scratch, (size_t)(x.count * y.count) * sizeof *point);
    for (int32_t i = 0; i < x.count; i++)
        for (int32_t j = 0; j < y.count; j++)
            point[count++] = (struct kv_fit_point){x.at[i], y.at[j], 1e3 * price(m, x.at[i], y.at[j])};
    /* No knot is dropped (layer and once share theirs); what falls with more work is levelled. */
    kv_fit_knots(arena, point, count, &(struct kv_fit_rule){-1, 1, x.count, y.count}, knots);
    kv_arena_close(&scratch);
}

static double layer_at(const struct parts *m, int64_t tokens, int64_t unused)
{
    return layer_us(m, tokens) + (double)unused;
}

static double once_at(const struct parts *m, int64_t tokens, int64_t unused)
{
    return once_us(m, tokens) + (double)unused;
}

static double head_at(const struct parts *m, int64_t sequences, int64_t unused)
{
    return head_us(m, sequences) + (double)unused;
}

static double prefill_at(const struct parts *m, int64_t fresh, int64_t cached)
{
    const int64_t key[KV_OP_KEYS_MAX] = {1, fresh, cached, m->heads, m->kv_heads, m->shape->head_dim, 0};
    return kv_op_profile_us(m->ops, KV_PART_PREFILL, m->cache, key);
}

static double decode_at(const struct parts *m, int64_t sequences, int64_t tokens)
{
    const int64_t key[KV_OP_KEYS_MAX] = {sequences, tokens, m->heads, m->kv_heads, m->shape->head_dim, 0};
    return kv_op_profile_us(m->ops, KV_PART_DECODE, m->cache, key);
}

/* A share that is the same for every number of sequences. */
static struct kv_knots share(struct kv_arena *arena, int64_t permille)
{
    struct kv_knots k = {.rows = 1, .columns = 1, .x = kv_arena_take(arena, sizeof *k.x),
                         .at = kv_arena_take(arena, sizeof *k.at)};
    *k.x = 1;
    *k.at = permille;
    return k;
}

static void fill_all(struct kv_arena *arena, const struct parts *m, struct kv_profile *p)
{
    static const int64_t none[] = {0};
    const struct kv_op_profile *ops = m->ops;
    const struct axis one = {none, 1};
    const int64_t *chunk = ops->part[KV_PART_PREFILL]->most_key, *decode = ops->part[KV_PART_DECODE]->most_key;
    int64_t rows = ops->part[m->gemm]->most_key[KV_GEMM_M];
    if (m->shape->experts && rows > ops->part[m->moe]->most_key[KV_MOE_TOKENS])
        rows = ops->part[m->moe]->most_key[KV_MOE_TOKENS];
    struct axis tokens = up_to(token_knots, COUNT(token_knots), rows);
    struct axis sequences = up_to(sequence_knots, COUNT(sequence_knots), decode[KV_DECODE_BATCH]);
    /* Chunks behind cached tokens: measured, or like a part of a prompt of twice as many. */
    int64_t cached = chunk[KV_PREFILL_CACHED] > chunk[KV_PREFILL_NEW] / 2 ? chunk[KV_PREFILL_CACHED]
                                                                         : chunk[KV_PREFILL_NEW] / 2;
    fill(arena, m, layer_at, tokens, one, &p->layer);
    fill(arena, m, once_at, tokens, one, &p->once);
    fill(arena, m, head_at, sequences, one, &p->head);
    fill(arena, m, prefill_at, up_to(fresh_knots, COUNT(fresh_knots), chunk[KV_PREFILL_NEW]),
         up_to(cached_knots, COUNT(cached_knots), cached), &p->prefill);
    fill(arena, m, decode_at, sequences, up_to(context_knots, COUNT(context_knots), decode[KV_DECODE_TOKENS]),
         &p->decode);
    p->mixed = p->decode;
    p->longest_decode = share(arena, 0);
    p->longest_mixed = share(arena, 0);
    p->added = share(arena, 1000);
}

/* ---- what can be composed ---- */

static bool check(const struct kv_op_profile *ops, const struct kv_model_shape *s, int32_t tp, const struct parts *m,
                  const char *where, struct kv_err *err)
{
    const char *gpu = ops->from.gpu;
    if (s->attention != KV_ATTENTION_GQA)
        return kv_fail(err, KV_ECALIB, where, "%s has MLA attention, which was not measured on %s", s->name, gpu);
    if ((s->dtype_bytes != 2 && s->dtype_bytes != 1) || (s->kv_dtype_bytes != 2 && s->kv_dtype_bytes != 1))
        return kv_fail(err, KV_ECALIB, where, "bf16 and fp8 were measured; weights and cache here have %g and %g bytes",
                       s->dtype_bytes, s->kv_dtype_bytes);
    if (!ops->part[m->gemm])
        return kv_fail(err, KV_ECALIB, where, "products in fp8 were not measured on %s", gpu);
    if (s->experts && !ops->part[m->moe])
        return kv_fail(err, KV_ECALIB, where, "experts in %s were not measured on %s", kv_op_parts[m->moe].type, gpu);
    if (s->heads % tp || (s->kv_heads % tp && tp % s->kv_heads))
        return kv_fail(err, KV_ECALIB, where, "tp %d does not divide %d heads and %d KV heads", tp, s->heads,
                       s->kv_heads);
    if (tp > 1 && !m->all_reduce.rows)
        return kv_fail(err, KV_ECALIB, where, "all-reduce of %d GPUs was not measured on %s", tp, gpu);
    return true;
}

bool kv_op_compose(struct kv_arena *arena, const struct kv_op_profile *ops, const struct kv_model_shape *shape,
                   int32_t tp, bool eager, const char *where, struct kv_profile *profile, struct kv_err *err)
{
    bool narrow = shape->dtype_bytes == 1;
    struct parts m = {
        .ops = ops, .shape = shape, .tp = tp, .heads = shape->heads / tp,
        .kv_heads = shape->kv_heads > tp ? shape->kv_heads / tp : 1,
        .gemm = narrow ? KV_PART_GEMM_FP8 : KV_PART_GEMM_BF16, .moe = narrow ? KV_PART_MOE_FP8 : KV_PART_MOE_BF16,
        .cache = shape->kv_dtype_bytes == 1 ? "fp8" : "bf16", .gap_us = 1e6 * ops->gap_s[eager],
        .all_reduce = kv_collective_curve(&ops->collective[KV_ALL_REDUCE], tp),
    };
    if (!check(ops, shape, tp, &m, where, err)) return false;
    if (eager && ops->gap_s[1] <= 0)
        return kv_fail(err, KV_ECALIB, where, "enforce_eager: layers without CUDA graphs were not measured on %s",
                       ops->from.gpu);
    *profile = (struct kv_profile){
        .gpu = ops->from.gpu, .model = shape->name, .dtype = narrow ? "fp8" : "bf16", .tp = tp,
        .engine = ops->from.engine, .measured = ops->from.date, .source = ops->from.origin, .commit = ops->from.commit,
        .licence = ops->from.licence, .mode = "composed of operators",
        .holdout_permille = ops->holdout_points_permille, .holdout_seed = ops->holdout_seed,
        .holdout = {.dense = ops->point_error[m.gemm], .head = ops->point_error[KV_PART_GEMM_BF16],
                    .prefill = ops->point_error[KV_PART_PREFILL], .decode = ops->point_error[KV_PART_DECODE]},
    };
    fill_all(arena, &m, profile);
    return true;
}
