/* SPDX-License-Identifier: Apache-2.0 */
/* Parameter tables: one row per key feeds parser, errors, `kvsim list`, JSON schema, man page and completion.
 * A table belongs to a struct; `offset` is where the parsed value goes. Storage by dimension:
 *
 *   KV_DIM_COUNT, KV_DIM_TOKENS, KV_DIM_BYTES      int64_t
 *   KV_DIM_NUMBER, KV_DIM_FRACTION                 double
 *   KV_DIM_TIME                                    double, seconds          "75us", "5min"
 *   KV_DIM_BITS_PER_S                              double, bit/s            "100Gbps", "12.5GB/s"
 *   KV_DIM_PER_S                                   double, 1/s              "30req/s"
 *   KV_DIM_FLOPS                                   double, FLOP/s           "989TFLOPS"
 *   KV_DIM_BOOL                                    bool                     true | false only
 *   KV_DIM_TEXT                                    const char * (load arena)
 *   KV_DIM_CHOICE                                  int64_t, index into `choices`
 *
 * A bare number for a dimensioned key (BYTES, TIME, BITS_PER_S, PER_S, FLOPS) is an error. */
#ifndef KV_CONF_PARAM_H
#define KV_CONF_PARAM_H

#include <stddef.h>
#include <stdint.h>

enum kv_dim {
    KV_DIM_COUNT, KV_DIM_TOKENS, KV_DIM_BYTES, KV_DIM_NUMBER, KV_DIM_FRACTION, KV_DIM_TIME,
    KV_DIM_BITS_PER_S, KV_DIM_PER_S, KV_DIM_FLOPS, KV_DIM_BOOL, KV_DIM_TEXT, KV_DIM_CHOICE
};

struct kv_param {
    const char *key;
    enum kv_dim dim;
    size_t offset;
    const char *preset;          /* default, as one would write it in YAML; NULL: the key is required */
    double min, max;             /* inclusive, in the unit of storage; both 0: only what the type allows */
    const char *const *choices;  /* KV_DIM_CHOICE: NULL-terminated */
    const char *help;            /* one line; ends without a full stop */
    const char *source;          /* where the default comes from; NULL when it is a plain convention */
};
#define KV_PARAM_END { NULL, KV_DIM_COUNT, 0, NULL, 0, 0, NULL, NULL, NULL }

/* First member of every ops struct: what the registry, `kvsim list` and the parser need to know. */
struct kv_plugin_info {
    const char *help;              /* one line */
    const char *source;            /* paper or engine it follows; NULL for textbook things */
    const struct kv_param *params; /* NULL or ended by KV_PARAM_END */
    size_t params_bytes;           /* size of the struct that `params` describes; 0 without params */
    /* Once, when `params` are bound and before all else: fills what the struct has behind them (a curve that a contract
     * wants in memory of the parameters). May find anything in them where binding noted an error. NULL: nothing. */
    void (*prepare)(void *params);
};

#endif
