/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the oracle share: everything is an object, and every question is answered by looking at all of
 * them. naive.c, naive_instance.c, naive_ahead.c and naive_group.c are docs/engine.md; naive_tiers.c, naive_turns.c,
 * naive_links.c, naive_loads.c, naive_meet.c, naive_writes.c, naive_fetch.c, naive_layers.c, naive_transfers.c and
 * naive_handover.c are docs/tiers.md (rules T1 and up). */
#ifndef KV_TESTS_ORACLE_NAIVE_PARTS_H
#define KV_TESTS_ORACLE_NAIVE_PARTS_H

#include "tests/oracle/naive.h"
#include "tests/oracle/naive_blocks.h"
#include "tests/oracle/naive_replay.h"

#define NAIVE_PARTS_MAX 16       /* tensor-parallel parts of a flow */
#define NAIVE_HOPS_MAX 8

/* A request on its way. */
struct job {
    const struct kv_request *request;
    struct kv_record *record;
    int64_t urgency, order;          /* order: of reaching the router */
    int64_t generated, on_way;       /* on_way: 1 while a token of it is on its way (rule 13b) */
    int64_t shared_count;            /* its blocks with a shared key; those after them are its own (rule 15) */
    kv_tick preempted_at;            /* -1: not in a pause */
    kv_tick paused_prefill, paused_decode;
    kv_tick waited;                  /* for its KV before it was first scheduled (T31) */
    kv_tick stalled_prefill, stalled_decode;
    bool counted;                    /* where its prompt comes from */
    bool ended;
};

/* A request on an instance. Only a hand-over has two; job i has seats 2i and 2i + 1, the latter at its decode
 * instance. */
struct seat {
    int64_t job;
    int32_t instance;
    bool handing_over;               /* at the decode instance, and has not joined there yet (T28, T29) */
    int64_t computed, computed_before;
    KV_VEC(uint32_t) held;           /* blocks 0.. of it */
    KV_VEC(int32_t) sources;         /* of the blocks of its hit */
    bool holder, ready;
    bool decoding;                   /* it has got a token since it joined */
    bool hbm_only;                   /* a load of it timed out: so until its next joining (T14) */
    int32_t pending_tier;            /* of its last look-up (T42) */
    int64_t pending_tokens;
    bool prompt_due;                 /* reserved before its prompt is computed (T29): not ready before that */
    kv_tick since;                   /* holder since */
    KV_VEC(struct load *) waits;     /* loads that it waits for; of a member, those that had not ended as it joined */
    struct load *beside;             /* its load that runs beside its prefill, until they have met (T44) */
    int64_t leading;                 /* g: blocks of its hit in HBM before the first one below */
    int64_t own_end;                 /* blocks [leading, own_end) of its hit were computed after all; leading: none */
    struct load *push;               /* at the prefill instance: the load that takes its KV away */
};

/* --- Lower tiers --- */

struct chunk {
    bool live, own, visible, parked;
    int64_t readers, stamp;
    uint64_t key;
};

struct tier_pool {
    int32_t tier, domain;
    KV_VEC(struct chunk) chunks;     /* dead ones are used again */
    int64_t used, stamps;
    struct kv_map keys;              /* key -> chunk, known ones */
    KV_VEC(uint64_t) ghosts;         /* second_hit: oldest first */
    int64_t numbers, under_way;      /* accesses that came; that have a turn */
    KV_VEC(struct access *) line;    /* waiting for their turn */
};

/* Links that each part of a flow crosses, and what they add to the delay. `named`: indices of the scenario's links
 * among them, unlimited ones too. */
struct path {
    int32_t hops[NAIVE_PARTS_MAX];
    int32_t link[NAIVE_PARTS_MAX][NAIVE_HOPS_MAX];
    int32_t named_count, named[NAIVE_HOPS_MAX];
    kv_tick latency_tk;
};

enum phase { IN_LINE, REFUSED, DELAYED, FLOWING, OVER };
/* One access of T15, or the flow of a hand-over (without pool). */
struct access {
    int64_t order;                   /* of coming, over all pools */
    struct tier_pool *pool, *from;   /* from: the pool that evicted what is written; NULL elsewhere (T17b) */
    bool write, turn, paused;
    enum phase phase;
    enum kv_delivery delivery;
    int64_t chunks_asked;
    uint64_t number;                 /* at its pool */
    int32_t attempts;                /* times it was refused (T37a); it comes again at: */
    kv_tick again_at;
    kv_tick delay_tk, delay_end, ack_tk, resume_tk;
    kv_rate limit;                   /* of the access: T37, T38 */
    kv_rate rate;                    /* of a part */
    struct path path;
    int64_t flow;                    /* order of starts */
    int64_t bytes, permitted;        /* of a part */
    kv_service done;
    struct load *load;               /* reads; `part` and `chunk` say what of it */
    int32_t part;
    int64_t chunk;                   /* chunkwise: which of its part */
    struct write_job *write_job;
};

/* What a load takes from one tier. */
struct load_part {
    struct tier_pool *pool;
    KV_VEC(int64_t) index;           /* chunks of the request, in order */
    KV_VEC(uint32_t) chunk;          /* the same in the pool */
    KV_VEC(struct access *) accesses;
    KV_VEC(bool) in;                 /* chunkwise: its access has ended */
    int64_t asked, ended;            /* accesses */
    bool over;
    int32_t layers_in;
    struct transfer *transfer;
};

/* A fetch of T39 and T40: what a load brings from one tier (part >= 0), or a hand-over (-1). */
struct transfer {
    struct load *load;
    int32_t part, parts_width;       /* width of T39 */
    bool granted;                    /* a policy divides the bandwidth for it */
    kv_rate grant;                   /* 0: it asks */
    struct kv_transfer_flow flow;    /* what the policy sees of it and does not change */
    struct kv_fetch_record record;
};

struct load_block { int64_t index; uint32_t block; int32_t tier; };
struct load_chunk { int32_t part; int64_t chunk; };
struct fill { struct tier_pool *pool; uint32_t chunk; };
struct load {
    int64_t order, job;              /* job: of the request that began it */
    int64_t owner;                   /* seat; -1: it gave back */
    int32_t instance;
    kv_tick deadline;
    KV_VEC(struct load_block) blocks;
    KV_VEC(struct load_part) parts;
    KV_VEC(struct fill) fills;
    enum kv_delivery mode;           /* its own (T35) */
    bool layerwise, joined, over, timed_out;
    bool both_ways;                  /* from its last chunk to its first, beside its owner's prefill (T44) */
    KV_VEC(struct load_chunk) last_first;            /* both_ways: what is asked for, in order */
    size_t asked_chunks;
    kv_tick *layer_in;               /* layerwise: arrival of each layer, KV_TICK_NEVER */
    int32_t permitted_layers;
    /* Hand-over */
    bool handover;
    int64_t source;                  /* seat at the prefill instance */
    int64_t first_token;             /* h * B: what the decode instance has */
    int64_t *reached;                /* layerwise push: position that each layer has reached */
    struct access *flow;             /* NULL before it begins */
    struct transfer *transfer;
};

struct write_job {
    int64_t order;
    struct tier_pool *pool;
    int32_t instance;
    KV_VEC(uint32_t) blocks;         /* of HBM, referenced */
    KV_VEC(uint32_t) known, own;     /* chunks */
    struct access *access;
    kv_tick visible_at;              /* KV_TICK_NEVER before its last byte is in */
    bool over;
};

/* A chunk that `write` proposes (T22). `index`: of the request that holds it. */
struct proposed { uint64_t key; bool own; int64_t index; };
typedef KV_VEC(struct proposed) proposal;

/* --- Links --- */

enum link_kind { LINK_PCIE, LINK_NIC, LINK_GATEWAY, LINK_NAMED, LINK_DEVICE };
struct link {
    enum link_kind kind;
    int32_t a, b, direction;         /* which one of its kind; 0 in, 1 out */
    kv_rate capacity;
    bool in_order;
    const kv_rate *curve;            /* T38a, or NULL */
    int32_t curve_count;
    /* While rates are found: */
    kv_rate now;                     /* its capacity with the flows that are on it */
    kv_service left;
    int64_t unfixed;
};

/* --- Instances --- */

struct member { int64_t seat, tokens; };

/* A step some of whose layers wait, or whose layers somebody waits for (T20, T29). */
struct layered {
    bool on;
    kv_cost start, before, after;    /* start: exact, since tick 0 */
    kv_cost *cost, *begin;           /* of each layer: C_l; S_l as far as known */
    int32_t known;                   /* layers whose S_l is known */
    int32_t begins_told, ends_told;
};

struct instance {
    struct naive_pool pool;
    KV_VEC(int64_t) running;         /* seats in order of admission */
    KV_VEC(int64_t) preempted;       /* last preempted at the end */
    KV_VEC(int64_t) waiting;         /* first to go at the start */
    KV_VEC(int64_t) holders;
    KV_VEC(struct member) step;      /* the step under way */
    bool busy;
    kv_tick origin, due;             /* due = KV_TICK_NEVER when no boundary is pending */
    kv_cost spent;                   /* E of rule 1 */
    /* Scheduling ahead (rule 13a) `step` is the one made up: */
    kv_cost made_cost;
    KV_VEC(int64_t) arriving;        /* seats whose tokens the step under way brings */
    struct layered layered;
};

enum sched { FCFS, PRIORITY, SJF };
enum route { ROUND_ROBIN, LEAST_LOADED, LEAST_TOKENS, PREFIX, VLLM_DP };
enum admit { ADMIT_ALWAYS, SECOND_HIT };
enum fetch { FETCH_ALWAYS, THRESHOLD, COST_MODEL, TIMEOUT };

/* What is looked up: where block i of the request is found (0: HBM). */
typedef KV_VEC(int32_t) match;

struct tier {
    void *store;
    bool fifo;
    enum admit admit;
    kv_rate device_rate;
    int64_t concurrency_limit, queue_limit;          /* queue_limit < 0: any number may wait */
};

struct oracle {
    const struct kv_sim_config *config;
    const struct kv_request *requests;
    int64_t count;
    struct kv_arena arena;           /* loads, accesses, writes: kept to the end */
    struct job *jobs;
    struct seat *seats;
    bool *came;
    struct instance *instances;
    struct naive_replay replay;
    int64_t routed;
    kv_tick now, last_arrival;
    enum sched sched;
    enum route route;
    enum fetch fetch;
    bool fifo;
    void *compute;
    kv_cost overhead;
    KV_VEC(struct kv_chunk) chunks;
    struct kv_counters *counters;
    struct kv_oracle_history *history;
    struct kv_oracle_coverage *coverage;
    /* Tiers */
    int32_t tier_count, layers;
    struct tier tier[KV_TIERS_MAX];
    KV_VEC(struct tier_pool *) pools;
    KV_VEC(struct load *) loads;     /* under way, in the order of their begin */
    KV_VEC(struct write_job *) writes;
    int64_t load_orders, write_orders;
    /* Links */
    KV_VEC(struct link) links;
    KV_VEC(struct access *) accesses;   /* not over yet, in the order of coming */
    int64_t access_orders, flow_orders;
    kv_tick flowed;                  /* flows have been served up to here */
    bool rates_stale;
    /* Fetches */
    const struct kv_sink *sink;      /* where they are told; NULL: nowhere */
    KV_VEC(struct transfer *) transfers;             /* present, in the order of coming */
    uint64_t asked;                  /* that the policy ever saw or will see */
    kv_tick epoch;                   /* KV_TICK_NEVER: none is armed */
};

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t block_tokens(const struct oracle *o) { return o->config->engine.block_tokens; }
static inline struct job *job_of(const struct oracle *o, int64_t seat) { return &o->jobs[seat / 2]; }
static inline struct instance *instance_of(const struct oracle *o, int64_t seat)
{
    return &o->instances[o->seats[seat].instance];
}
static inline bool hands_over(const struct oracle *o) { return o->config->handover.prefill_instances > 0; }
static inline bool has_tiers(const struct oracle *o) { return o->tier_count > 1; }
/* Known tokens = input + generated; at the decode instance the first token is known from the start (T28, T29). */
static inline int64_t known(const struct oracle *o, int64_t seat)
{
    const struct job *j = job_of(o, seat);
    int64_t generated = o->seats[seat].handing_over && j->generated == 0 ? 1 : j->generated;
    return j->request->input_tokens + generated + j->on_way;
}

/* naive.c: an idle instance has a boundary at this tick; the same if it has waiting requests or holders (T10). */
void naive_wake(struct oracle *o, int32_t instance);
void naive_wake_blocked(struct oracle *o, int32_t instance);
void naive_enqueue(struct oracle *o, int64_t seat);              /* into the waiting queue of its instance, in order */
void naive_end_job(struct oracle *o, int64_t job, enum kv_status status);

kv_tick naive_next_tick(const struct oracle *o);                 /* of whatever is pending; KV_TICK_NEVER */
/* Nothing is pending but accesses that would be refused again for ever (T37a, T43). */
bool naive_at_rest(const struct oracle *o);

/* naive_history.c, naive_check.c: what a reader could see now; what must be true after every event. */
void naive_see(struct oracle *o);
void naive_check(struct oracle *o);
void naive_check_record(const struct oracle *o, const struct kv_record *r);

/* naive_instance.c */
void naive_boundary(struct oracle *o, struct instance *n);
void naive_end_step(struct oracle *o, struct instance *n);       /* rule 10 */
void naive_release(struct oracle *o, int64_t seat, bool finish); /* rule 20 */
bool naive_schedule_running(struct oracle *o, struct instance *n, int64_t *budget);   /* rule 11; true: preempted */
void naive_schedule_others(struct oracle *o, struct instance *n, int64_t *budget);    /* rules 9 and 12 */
struct kv_batch naive_batch_of(struct oracle *o, const struct instance *n);           /* rule 13 */
int64_t naive_look_up_hbm(const struct oracle *o, const struct instance *n, int64_t seat);

/* naive_ahead.c: rules 13a to 13e. */
bool naive_schedules_ahead(const struct oracle *o);
void naive_ahead_boundary(struct oracle *o, struct instance *n);
void naive_end_under_way(struct oracle *o, struct instance *n);  /* (a) */
void naive_begin(struct oracle *o, struct instance *n);          /* (c), but for the clock */

/* naive_group.c: rules 13f and 13g. The first rank of its group, which has the clock of all. */
int32_t naive_group_of(const struct oracle *o, int32_t instance);
void naive_group_boundary(struct oracle *o, struct instance *first);

/* naive_books.c: a request joins; and where its prompt comes from, or again, what of it is computed again. */
void naive_note_admission(struct oracle *o, int64_t seat);
void naive_count_hits(struct oracle *o, int64_t seat);

/* naive_tiers.c: places, pools, and what leaves them. */
int32_t naive_node_of(const struct oracle *o, int32_t instance);
int32_t naive_first_instance(const struct oracle *o, const struct tier_pool *p);
int32_t naive_domain_of(const struct oracle *o, int32_t instance, int64_t scope);
struct tier_pool *naive_pool_of(struct oracle *o, int32_t tier, int32_t instance);
bool naive_tiers_open(struct oracle *o, struct kv_err *err);
void naive_tiers_close(struct oracle *o);
struct kv_access_plan naive_plan(const struct oracle *o, int32_t tier, const struct kv_access *access);
int64_t naive_chunk_blocks(const struct oracle *o, int32_t tier);      /* r */
/* T5; up to `most` blocks. */
void naive_match(struct oracle *o, int64_t seat, bool hbm_only, match *found);
/* T42, of a look-up that ended at block `end`. */
void naive_note_pending(struct oracle *o, int64_t seat, bool hbm_only, int64_t end);
uint64_t naive_chunk_key(const struct oracle *o, const struct job *j, int32_t tier, int64_t chunk);
bool naive_chunk_known(const struct oracle *o, const struct job *j, int32_t tier, int64_t chunk);
bool naive_admits(struct oracle *o, struct tier_pool *p, const struct proposed *c);
/* T4: an arriving chunk, KV_NONE without space. What has to leave is added to `evicted`. */
uint32_t naive_take_space(struct oracle *o, struct tier_pool *p, const struct proposed *c, proposal *evicted);
void naive_make_visible(struct oracle *o, struct tier_pool *p, uint32_t chunk);
void naive_leave(struct tier_pool *p, uint32_t chunk);
void naive_hit_and_pin(struct oracle *o, struct tier_pool *p, uint32_t chunk);
void naive_unpin(struct oracle *o, struct tier_pool *p, uint32_t chunk);
void naive_put_resident(struct oracle *o, int64_t seat);        /* T36 */

/* naive_topology.c: T16, T17. */
int64_t naive_read_bytes(const struct oracle *o, int32_t layers);      /* of a token in the first `layers`, one part */
int64_t naive_written_bytes(const struct oracle *o);
void naive_path(struct oracle *o, const struct tier_pool *p, int32_t instance, bool write, uint64_t number,
                struct path *path);
void naive_spill_path(struct oracle *o, const struct tier_pool *from, const struct tier_pool *to, uint64_t number,
                      struct path *path);
void naive_handover_path(struct oracle *o, int32_t from, int32_t to, struct path *path);
int64_t naive_parts_on(const struct path *path, int32_t parts, int32_t link);
kv_rate naive_scaled(const struct oracle *o, kv_rate rate);           /* x efficiency */
kv_rate naive_capacity(const struct oracle *o, const struct link *l, int64_t flows);   /* T38a */
/* T38: the least over the path's links for `bytes` (all parts) in so many requests. */
kv_rate naive_message_rate(const struct oracle *o, const struct path *path, int64_t bytes, int64_t requests);

/* naive_turns.c: T15, T37. */
void naive_access_comes(struct oracle *o, struct access *a, int32_t instance, enum kv_delivery delivery,
                        int64_t chunks);
void naive_handover_flow(struct oracle *o, struct access *a);          /* delay, then flow */
void naive_permit(struct oracle *o, struct access *a, int64_t permitted);
int64_t naive_cancel(struct oracle *o, struct access *a);              /* moved bytes of a part */
void naive_give_turn_back(struct oracle *o, struct access *a);
void naive_access_over(struct oracle *o, struct access *a);
void naive_delays_end(struct oracle *o);                               /* class 0; then who was refused comes again */
kv_tick naive_retries_next_tick(const struct oracle *o);
bool naive_retries_in_vain(const struct oracle *o);                    /* whoever comes again is refused again */

/* naive_transfers.c: T39, T40. */
void naive_transfer_begins(struct oracle *o, struct load *load, int32_t part);
void naive_transfer_first(struct transfer *t, kv_rate limit);          /* its first access has its turn */
void naive_transfer_over(struct oracle *o, struct transfer *t, bool cut);
kv_rate naive_grant_limit(const struct oracle *o, const struct access *a);   /* of the access; unlimited: not granted */
struct transfer *naive_transfer_of(const struct access *a);
void naive_epochs(struct oracle *o);
void naive_transfers_end(struct oracle *o);                            /* of the run */
void naive_check_grants(const struct oracle *o);

/* naive_links.c: T15, T17a, T19. */
/* On its links: neither waiting for a first permission, nor paused, nor over. */
static inline bool naive_moving(const struct access *a)
{
    return a->phase == FLOWING && a->flow >= 0 && !a->paused;
}
void naive_flows_serve(struct oracle *o, kv_tick tick);
void naive_flows_end(struct oracle *o);                                /* class 0 but for permissions */
void naive_rates(struct oracle *o);
kv_tick naive_flows_next_tick(const struct oracle *o);
void naive_links_close(struct oracle *o);

/* naive_fetch.c: T6. */
enum kv_delivery naive_delivery(const struct oracle *o, int64_t bytes);      /* T35; bytes of a part */
struct kv_fetch_choice naive_choose(struct oracle *o, int64_t seat, const match *found);
kv_tick naive_compute_tk(struct oracle *o, int64_t known_tokens, int64_t from);

/* naive_loads.c: T7 to T14, T26. */
kv_tick naive_wait_span(const struct oracle *o, int64_t seat, kv_tick end);
void naive_loads_close(struct oracle *o);
void naive_become_holder(struct oracle *o, int64_t seat, kv_tick timeout_tk, bool both_ways);
void naive_load_joined(struct load *load);
void naive_check_ready(struct oracle *o);
void naive_wait_ends(struct oracle *o, int64_t seat);
void naive_read_ended(struct oracle *o, struct access *a);
void naive_ask(struct oracle *o, struct load *load, int32_t part, int64_t chunk);
void naive_count_read(struct oracle *o, const struct load *load, int32_t tier, int64_t bytes);  /* of a part */
void naive_unpin_part(struct oracle *o, struct load_part *part);
void naive_load_lets_go(struct oracle *o, struct load *load);          /* its references end; it is over */
void naive_load_close(struct load *load);
void naive_load_ended(struct oracle *o, struct load *load);
void naive_note_layers(struct oracle *o, struct load *load);    /* layers that are in from all its tiers */

/* naive_meet.c: T44. */
/* Whether the request and the load beside it have met, or meet now; true if none is beside it. */
bool naive_meets(struct oracle *o, int64_t seat);
int64_t naive_meeting_tokens(const struct oracle *o, int64_t seat);    /* where they would meet as it stands */
void naive_ask_from_the_end(struct oracle *o, struct load *load);      /* accesses begin */

/* naive_cuts.c: T13, T14. */
bool naive_block_arrived(const struct oracle *o, const struct load *load, const struct load_block *b);
void naive_cancel_reads(struct oracle *o, struct load *load, bool keep);
/* It waits for it no more, with so many tokens computed. */
void naive_leave_load(struct oracle *o, int64_t seat, struct load *load, int64_t computed);
bool naive_give_back_last(struct oracle *o, struct instance *n);
void naive_timeouts(struct oracle *o);
kv_tick naive_timeouts_next_tick(const struct oracle *o);

/* naive_writes.c: T22 to T25. */
void naive_propose_through(struct oracle *o, int64_t seat, int64_t before);
void naive_propose_back(struct oracle *o, int64_t seat);
void naive_propose_evicted(struct oracle *o, int32_t instance);
/* What pool `p` has evicted while it took space once. Empties `evicted`. */
void naive_spill(struct oracle *o, struct tier_pool *p, proposal *evicted);
void naive_write_ended(struct oracle *o, struct write_job *w);
void naive_writes_visible(struct oracle *o);
kv_tick naive_writes_next_tick(const struct oracle *o);
bool naive_drop_write(struct oracle *o, struct instance *n);
void naive_writes_close(struct oracle *o);

/* naive_layers.c: T20, permissions of T19 and T29. */
void naive_step_begin(struct oracle *o, struct instance *n, const struct kv_batch *batch);
void naive_step_end(struct oracle *o, struct instance *n);
void naive_layers_go_on(struct oracle *o);
kv_tick naive_layers_next_tick(const struct oracle *o);

/* naive_handover.c: T27 to T30. */
void naive_handover_prompt(struct oracle *o, int64_t seat);            /* computed at the prefill instance */
/* It became a holder at the decode instance; NULL: nothing has to be loaded. */
void naive_handover_held(struct oracle *o, int64_t seat, struct load *load);
void naive_handover_step(struct oracle *o, int64_t seat);              /* a step of the prompt begins */
void naive_handover_layer(struct oracle *o, int64_t seat, int32_t layer, int64_t reached);
bool naive_handover_wants(const struct oracle *o, int64_t seat, int32_t layer, int64_t reached);
void naive_handover_over(struct oracle *o, struct load *load);

#endif
