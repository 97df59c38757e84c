/* SPDX-License-Identifier: Apache-2.0 */
/* A step's time from shapes and the GPU's data sheet. Every operator takes
 *     max(flops / (peak * efficiency), bytes / (bandwidth * efficiency)) + latency
 * and operators follow one another. Formulas, counted operators and the origin of every default:
 * docs/models.md.
 *
 * Nearly all operators depend on three counts that a run does not change: tokens in the step (T), sequences
 * that yield a token (Y), decoding sequences (R). Only decode attention grows, by one KV token a sequence
 * and step: both sides of its max are straight lines, so a run is affine up to the one step where they
 * cross (a knot).
 *
 * open() turns everything into integer costs a token; price() is exact integer arithmetic. */
#include "sim/iface/compute.h"
#include "sim/lib/kvsize.h"

#define OPERATORS_MAX 10
/* Tokens for which the expected number of distinct experts is tabulated; past it all experts are read (with
 * 384 experts, 8 a token, 1,024 tokens leave each expert out with probability 4e-10). */
#define MOE_TABLE 1024
/* Steps of up to so many tokens are priced from tables made at open: most steps are decodes or short prompts. */
#define TOKEN_TABLE 2048
#define ACTIVATION_BYTES 2.0   /* bf16 between operators, whatever the weights are */

struct roofline_params {
    double gemm_compute_efficiency, gemm_fp8_efficiency, gemm_memory_efficiency, moe_compute_efficiency,
           attention_compute_efficiency, attention_memory_efficiency, link_efficiency;
    double kernel_latency_s, attention_latency_s, allreduce_latency_s;
};

#define FIT "; median over the GPUs measured, docs/models.md"
#define FRACTION(field, preset, help, source) \
    { #field, KV_DIM_FRACTION, offsetof(struct roofline_params, field), preset, 0.001, 1, NULL, help, \
      source FIT }
#define LATENCY(key, field, preset, help, source) \
    { key, KV_DIM_TIME, offsetof(struct roofline_params, field), preset, 0, 1, NULL, help, source FIT }
static const struct kv_param params[] = {
    FRACTION(gemm_compute_efficiency, "0.79", "share of the bf16 peak that large matrix products reach",
             "groundtruth/ops/*/gemm, bfloat16, m, n, k >= 2048"),
    FRACTION(gemm_fp8_efficiency, "0.48", "share of the fp8 peak that large matrix products reach",
             "groundtruth/ops/*/gemm, fp8, m, n, k >= 2048"),
    FRACTION(gemm_memory_efficiency, "0.81", "share of the memory bandwidth that products stream at",
             "groundtruth/ops/*/gemm, bfloat16, m <= 16, weights >= 64 MB"),
    FRACTION(moe_compute_efficiency, "0.41", "share of the peak that grouped expert products reach",
             "groundtruth/ops/*/moe, bfloat16, tokens >= 8192, compute bound"),
    FRACTION(attention_compute_efficiency, "0.58", "share of the bf16 peak that prefill attention reaches",
             "groundtruth/ops/*/attention_context, head_dim 128, isl >= 4096, batch * heads >= 16"),
    FRACTION(attention_memory_efficiency, "0.80", "share of the memory bandwidth that attention reads KV at",
             "groundtruth/ops/*/attention_generation, head_dim 128, kv_heads >= 4, 256 MB of KV or more"),
    FRACTION(link_efficiency, "0.62", "share of the link bandwidth that a large all-reduce reaches",
             "groundtruth/ops/*/allreduce_vllm, graph, 64 MiB, 2 to 8 GPUs"),
    LATENCY("kernel_latency", kernel_latency_s, "2.9us", "start-up of a matrix product or element-wise kernel",
            "groundtruth/ops/*/gemm, bfloat16, m <= 16, weights <= 1 MiB"),
    LATENCY("attention_latency", attention_latency_s, "11.5us", "start-up of an attention operator",
            "groundtruth/ops/*/attention_generation, batch * kv_len * kv_heads < 200"),
    LATENCY("allreduce_latency", allreduce_latency_s, "5.5us", "start-up of an all-reduce between GPUs of a node",
            "groundtruth/ops/*/allreduce_vllm, graph, 8 KiB, 2 to 8 GPUs"),
    KV_PARAM_END
};

/* An operator over n tokens: the larger of n * compute and fixed + n * memory, all layers together. */
struct operator { kv_cost compute, memory, fixed; };

struct roofline {
    struct operator tokens[OPERATORS_MAX];   /* over T */
    int32_t token_operators;
    struct operator head;                    /* over Y: final projection and gathering of logits */
    struct operator expand, absorb;          /* MLA: over KV tokens of chunks, over R */
    struct operator experts;                 /* over T; the fixed part is expert_weights[min(T, MOE_TABLE)] */
    kv_cost expert_weights[MOE_TABLE + 1];
    /* Attention: a (query, key) pair of a chunk; a KV token read by a chunk; a new token of a chunk. */
    kv_cost pair_compute, chunk_kv_memory, chunk_token_memory;
    /* A KV token read by a decode, and a decoding sequence. */
    kv_cost kv_compute, kv_memory, sequence_memory;
    kv_cost token_link, yield_link;          /* all-reduces a token, gathered logits a yielded token */
    kv_cost launch, launch_mla_decode, launch_mla_chunk, launch_head;
    kv_cost token_cost[TOKEN_TABLE + 1], yield_cost[TOKEN_TABLE + 1];   /* tabled functions of the same names */
};

/* What open() works with: seconds a flop and a byte of one GPU. */
struct rates {
    double gemm_flop_s, moe_flop_s, attention_flop_s, byte_s, kv_byte_s, link_byte_s;
    double weight_bytes;   /* of one weight */
};

static struct rates rates_of(const struct roofline_params *p, const struct kv_compute_env *env)
{
    const struct kv_gpu_spec *gpu = env->gpu;
    /* One-byte weights multiply on fp8 tensor cores where there are any; other widths are converted to
     * bf16. */
    bool fp8 = env->model->dtype_bytes == 1 && gpu->flops_fp8 > 0;
    double peak = fp8 ? gpu->flops_fp8 : gpu->flops_bf16;
    return (struct rates){
        .gemm_flop_s = 1 / (peak * (fp8 ? p->gemm_fp8_efficiency : p->gemm_compute_efficiency)),
        .moe_flop_s = 1 / (peak * p->moe_compute_efficiency),
        .attention_flop_s = 1 / (gpu->flops_bf16 * p->attention_compute_efficiency),
        .byte_s = 1 / (gpu->memory_Bps * p->gemm_memory_efficiency),
        .kv_byte_s = 1 / (gpu->memory_Bps * p->attention_memory_efficiency),
        .link_byte_s = env->tp > 1 ? 1 / (gpu->link_Bps * p->link_efficiency) : 0,
        .weight_bytes = env->model->dtype_bytes,
    };
}

/* y[n, out] = x[n, in] w[in, out], in `layers` layers. */
static struct operator product(const struct rates *r, double layers, double in, double out)
{
    return (struct operator){
        .compute = kv_cost_from_s(layers * 2 * in * out * r->gemm_flop_s),
        .memory = kv_cost_from_s(layers * (in + out) * ACTIVATION_BYTES * r->byte_s),
        .fixed = kv_cost_from_s(layers * in * out * r->weight_bytes * r->byte_s),
    };
}

static kv_cost larger(kv_cost a, kv_cost b)
{
    return a > b ? a : b;
}

static kv_cost operator_cost(const struct operator *o, kv_cost n)
{
    return larger(n * o->compute, o->fixed + n * o->memory);
}

static void add_product(struct roofline *m, const struct rates *r, double layers, double in, double out)
{
    kv_assert(m->token_operators < OPERATORS_MAX);
    m->tokens[m->token_operators++] = product(r, layers, in, out);
}

/* QKV and output projections and attention of GQA; returns kernels a layer. */
static int32_t open_gqa(struct roofline *m, const struct rates *r, const struct kv_model_shape *s, int32_t tp)
{
    double layers = s->layers, dim = s->head_dim;
    double heads = (double)s->heads / tp, kv_heads = kv_heads_per_gpu(s, tp);
    add_product(m, r, layers, s->hidden, (heads + 2 * kv_heads) * dim);
    add_product(m, r, layers, heads * dim, s->hidden);

    double kv_bytes = (double)kv_bytes_per_token_per_layer_per_gpu(s, tp);
    double query_bytes = 2 * heads * dim * ACTIVATION_BYTES;   /* query in, result out */
    m->pair_compute = kv_cost_from_s(layers * 4 * heads * dim * r->attention_flop_s);
    m->chunk_kv_memory = kv_cost_from_s(layers * kv_bytes * r->kv_byte_s);
    m->chunk_token_memory = m->sequence_memory = kv_cost_from_s(layers * query_bytes * r->kv_byte_s);
    m->kv_compute = m->pair_compute;
    m->kv_memory = m->chunk_kv_memory;
    return 2 + 1;   /* the products, rotary embedding */
}

/* The same of MLA (DeepSeek-V2, arXiv:2405.04434, section 2.1). Chunks expand the latent to full keys and
 * values and attend as multi-head attention; decodes absorb the expansion into query and result and attend
 * over the latent, as vLLM does (vllm/v1/attention/backends/mla). The latent is replicated over tp. */
static int32_t open_mla(struct roofline *m, const struct rates *r, const struct kv_model_shape *s, int32_t tp)
{
    double layers = s->layers, heads = (double)s->heads / tp, latent = s->kv_lora_rank, rope = s->rope_head_dim;
    double query = (double)s->nope_head_dim + rope, value = s->value_head_dim;
    bool low_rank = s->q_lora_rank > 0;
    add_product(m, r, layers, s->hidden, (low_rank ? s->q_lora_rank : heads * query) + latent + rope);
    if (low_rank) add_product(m, r, layers, s->q_lora_rank, heads * query);
    add_product(m, r, layers, heads * value, s->hidden);
    m->expand = product(r, layers, latent, heads * (s->nope_head_dim + value));
    m->absorb = m->expand;

    double expanded_bytes = heads * (query + value) * ACTIVATION_BYTES;
    double latent_query_bytes = heads * (2 * latent + rope) * ACTIVATION_BYTES;
    m->pair_compute = kv_cost_from_s(layers * 2 * heads * (query + value) * r->attention_flop_s);
    m->chunk_kv_memory = kv_cost_from_s(layers * expanded_bytes * r->kv_byte_s);
    m->chunk_token_memory = m->chunk_kv_memory;
    m->kv_compute = kv_cost_from_s(layers * 2 * heads * (2 * latent + rope) * r->attention_flop_s);
    m->kv_memory = kv_cost_from_s((double)kv_bytes_per_token_per_gpu(s, tp) * r->kv_byte_s);
    m->sequence_memory = kv_cost_from_s(layers * latent_query_bytes * r->kv_byte_s);
    return (low_rank ? 3 : 2) + 1 + 1;   /* the products, norms of the low ranks, rotary embedding */
}

/* Dense and expert MLPs: gate and up as one product, activation, down; returns kernels over all layers. */
static double open_mlp(struct roofline *m, const struct rates *r, const struct kv_model_shape *s, int32_t tp)
{
    double moe_layers = s->experts > 0 ? s->layers - s->dense_layers : 0;
    double dense_layers = s->layers - moe_layers, width = (double)s->intermediate / tp;
    double shared = (double)s->shared_experts * s->expert_intermediate / tp;
    double kernels = 3 * dense_layers;
    if (dense_layers > 0) {
        add_product(m, r, dense_layers, s->hidden, 2 * width);
        add_product(m, r, dense_layers, width, s->hidden);
    }
    if (moe_layers <= 0) return kernels;
    add_product(m, r, moe_layers, s->hidden, s->experts);   /* router, on every GPU */
    if (shared > 0) {
        add_product(m, r, moe_layers, s->hidden, 2 * shared);
        add_product(m, r, moe_layers, shared, s->hidden);
        kernels += 3 * moe_layers;
    }
    double one = 3.0 * s->hidden * s->expert_intermediate / tp, chosen = s->experts_per_token;
    m->experts = (struct operator){
        .compute = kv_cost_from_s(moe_layers * chosen * 2 * one * r->moe_flop_s),
        .memory = kv_cost_from_s(moe_layers * chosen * (2.0 * s->hidden + 3.0 * s->expert_intermediate / tp)
                                 * ACTIVATION_BYTES * r->byte_s),
    };
    /* Expected distinct experts of n tokens that each choose k of E evenly: E * (1 - (1 - k/E)^n). */
    double left_out = 1;
    for (int32_t n = 0; n <= MOE_TABLE; n++) {
        double distinct = n < MOE_TABLE ? s->experts * (1 - left_out) : s->experts;
        m->expert_weights[n] = kv_cost_from_s(moe_layers * distinct * one * r->weight_bytes * r->byte_s);
        left_out *= 1 - chosen / s->experts;
    }
    return kernels + 5 * moe_layers;   /* router, choice, two grouped products, weighted sum */
}

/* Two norms a layer read and write hidden and residual; the activation reads gate and up; the embedding is
 * one row in, one out. Memory alone. */
static void open_elementwise(struct roofline *m, const struct rates *r, const struct kv_model_shape *s,
                             int32_t tp)
{
    double norms = s->layers * 2.0 * 4 * s->hidden + 2.0 * s->hidden;
    double dense_layers = s->experts > 0 ? s->dense_layers : s->layers;
    double activation = dense_layers * 3.0 * s->intermediate / tp;
    kv_assert(m->token_operators < OPERATORS_MAX);
    m->tokens[m->token_operators++] = (struct operator){
        .memory = kv_cost_from_s((norms + activation) * ACTIVATION_BYTES * r->byte_s) };
}

/* Ring all-reduce moves 2 (tp - 1)/tp of the data over each link (NCCL's "bus bandwidth"); after the output
 * and down projections of every layer and after the sharded embedding. Sampling gathers the logits once. */
static int32_t open_links(struct roofline *m, const struct rates *r, const struct kv_model_shape *s,
                          int32_t tp)
{
    if (tp == 1) return 0;
    double share = (double)(tp - 1) / tp;
    int32_t reductions = 2 * s->layers + 1;
    m->token_link = kv_cost_from_s(reductions * 2 * share * s->hidden * ACTIVATION_BYTES * r->link_byte_s);
    m->yield_link = kv_cost_from_s(share * s->vocabulary * ACTIVATION_BYTES * r->link_byte_s);
    return reductions;
}

static bool check(const struct kv_compute_env *env, struct kv_err *err)
{
    const struct kv_model_shape *s = env->model;
    if (!env->gpu)
        return kv_fail(err, KV_ECONFIG, "compute", "roofline needs a GPU; name one in cluster.nodes.gpu");
    if (env->tp < 1 || s->heads % env->tp != 0)
        return kv_fail(err, KV_ECONFIG, "cluster.instances.tp", "%d GPUs cannot share the %d attention heads of "
                       "%s; tp must divide them", env->tp, s->heads, s->name);
    if (s->attention == KV_ATTENTION_GQA && s->kv_heads % env->tp != 0 && env->tp % s->kv_heads != 0)
        return kv_fail(err, KV_ECONFIG, "cluster.instances.tp", "%d GPUs cannot share the %d KV heads of %s "
                       "evenly; tp must divide them or be a multiple", env->tp, s->kv_heads, s->name);
    if (env->tp > 1 && env->gpu->link_Bps <= 0)
        return kv_fail(err, KV_ECONFIG, "compute", "tp %d needs the link_bandwidth of GPU %s, which has none",
                       env->tp, env->gpu->name);
    return true;
}

/* What the T tokens of a step cost, whatever sequences they belong to. */
static kv_cost token_cost(const struct roofline *m, int64_t tokens)
{
    kv_cost sum = 1 + m->launch + tokens * m->token_link;   /* 1: the contract's least cost */
    for (int32_t i = 0; i < m->token_operators; i++) sum += operator_cost(&m->tokens[i], tokens);
    struct operator experts = m->experts;
    experts.fixed = m->expert_weights[tokens < MOE_TABLE ? tokens : MOE_TABLE];
    return sum + operator_cost(&experts, tokens);
}

/* What the Y sequences cost that get a token in a step. */
static kv_cost yield_cost(const struct roofline *m, int64_t yields)
{
    return yields > 0 ? m->launch_head + yields * m->yield_link + operator_cost(&m->head, yields) : 0;
}

/* Everything that a run of decode steps does not change: T, Y and R stay. */
static kv_cost steady_cost(const struct roofline *m, const struct kv_batch *batch)
{
    int64_t tokens = batch->decode_count, yields = batch->decode_count;
    kv_cost pairs = 0, chunk_kv = 0, chunk_tokens = 0;
    for (int32_t i = 0; i < batch->chunk_count; i++) {
        const struct kv_chunk *c = &batch->chunks[i];
        pairs += (kv_cost)c->new_tokens * c->ctx_tokens + (kv_cost)c->new_tokens * (c->new_tokens + 1) / 2;
        chunk_kv += (kv_cost)c->ctx_tokens + c->new_tokens;
        chunk_tokens += c->new_tokens;
        yields += c->last;
    }
    tokens += (int64_t)chunk_tokens;

    kv_cost sum = tokens <= TOKEN_TABLE ? m->token_cost[tokens] : token_cost(m, tokens);
    sum += yields <= TOKEN_TABLE ? m->yield_cost[yields] : yield_cost(m, yields);
    if (batch->decode_count > 0) sum += m->launch_mla_decode + operator_cost(&m->absorb, batch->decode_count);
    if (batch->chunk_count > 0) {
        sum += m->launch_mla_chunk + operator_cost(&m->expand, chunk_kv);
        kv_cost memory = chunk_kv * m->chunk_kv_memory + chunk_tokens * m->chunk_token_memory;
        sum += larger(pairs * m->pair_compute, memory);
    }
    return sum;
}

static bool open_state(void *state, const void *params_given, const struct kv_compute_env *env,
                       struct kv_err *err)
{
    struct roofline *m = state;
    const struct roofline_params *p = params_given;
    const struct kv_model_shape *s = env->model;
    if (!check(env, err)) return false;
    struct rates r = rates_of(p, env);

    bool mla = s->attention == KV_ATTENTION_MLA;
    int32_t per_layer = mla ? open_mla(m, &r, s, env->tp) : open_gqa(m, &r, s, env->tp);
    double kernels = s->layers * (per_layer + 2);   /* + norms */
    kernels += open_mlp(m, &r, s, env->tp);
    open_elementwise(m, &r, s, env->tp);
    /* Vocabulary matrices are bf16 even where the layers are fp8. */
    struct rates head = r;
    if (head.weight_bytes < ACTIVATION_BYTES) {
        head.weight_bytes = ACTIVATION_BYTES;
        head.gemm_flop_s = 1 / (env->gpu->flops_bf16 * p->gemm_compute_efficiency);
    }
    m->head = product(&head, 1, s->hidden, (double)s->vocabulary / env->tp);
    int32_t reductions = open_links(m, &r, s, env->tp);

    m->launch = kv_cost_from_s((kernels + 2) * p->kernel_latency_s + s->layers * p->attention_latency_s
                               + reductions * p->allreduce_latency_s);   /* + embedding, final norm */
    m->launch_head = kv_cost_from_s(p->kernel_latency_s + (env->tp > 1 ? p->allreduce_latency_s : 0));
    m->launch_mla_chunk = mla ? kv_cost_from_s(s->layers * p->kernel_latency_s) : 0;
    m->launch_mla_decode = 2 * m->launch_mla_chunk;   /* into the query, out of the result */
    for (int64_t count = 0; count <= TOKEN_TABLE; count++) {
        m->token_cost[count] = token_cost(m, count);
        m->yield_cost[count] = yield_cost(m, count);
    }
    return true;
}

static struct kv_run price(const void *state, const struct kv_batch *batch)
{
    const struct roofline *m = state;
    kv_cost steady = steady_cost(m, batch);
    /* A decode attends to its context and to itself. */
    kv_cost count = batch->decode_count, attended = batch->ctx_sum + count;
    kv_cost memory = attended * m->kv_memory + count * m->sequence_memory, compute = attended * m->kv_compute;
    kv_cost memory_slope = count * m->kv_memory, compute_slope = count * m->kv_compute;

    bool memory_bound = memory >= compute;
    kv_cost gap = memory_bound ? memory - compute : compute - memory;
    kv_cost closing = memory_bound ? compute_slope - memory_slope : memory_slope - compute_slope;
    struct kv_run run = { steady + larger(memory, compute), memory_bound ? memory_slope : compute_slope,
                          INT64_MAX };
    /* The leading side leads in all steps i with i * closing <= gap. */
    if (closing > 0 && gap / closing < INT64_MAX - 1) run.steps = (int64_t)(gap / closing) + 1;
    if (batch->chunk_count > 0) run = (struct kv_run){run.first, 0, 1};
    return run;
}

const struct kv_compute_ops kv_compute_roofline = {
    .info = { .help = "operator by operator, the slower of compute and memory, from the GPU's data sheet",
              .source = "Williams et al., Roofline, CACM 52(4), 2009; efficiencies fitted, docs/models.md",
              .params = params, .params_bytes = sizeof(struct roofline_params) },
    .state_bytes = sizeof(struct roofline),
    .needs_gpu = true,
    .open = open_state, .price = price,
};
