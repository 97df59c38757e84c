/* SPDX-License-Identifier: Apache-2.0 */
/* The logarithm of a ratio (measured over computed time) as a smooth function of some features of a problem: two
 * hidden layers of tanh units, fitted to samples (multilayer perceptron; Bishop, Pattern Recognition and Machine
 * Learning, 2006, ch. 5).
 *
 *   f(x) = w3 . tanh(w2 tanh(w1 x' + b1) + b2) + b3,   x' = x, each feature held inside what was seen
 *
 * So far from the samples the ratio is that of the nearest edge of what was seen. */
#ifndef KV_LIB_RATIO_NET_H
#define KV_LIB_RATIO_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_RATIO_INPUTS_MAX 20
#define KV_RATIO_UNITS 48         /* of each hidden layer */

struct kv_ratio_net {
    int32_t inputs;                                            /* 1..KV_RATIO_INPUTS_MAX */
    float least[KV_RATIO_INPUTS_MAX], most[KV_RATIO_INPUTS_MAX];   /* of each feature, in the samples */
    float first[KV_RATIO_INPUTS_MAX + 1][KV_RATIO_UNITS];      /* [input][unit], last row: constants */
    float second[KV_RATIO_UNITS + 1][KV_RATIO_UNITS];
    float third[KV_RATIO_UNITS + 1];
};

double kv_ratio_net_at(const struct kv_ratio_net *net, const double *x);

/* Samples: `inputs` features a row, then the value to meet. */
struct kv_ratio_samples { int32_t inputs; size_t rows; const float *x, *y; };

/* Least Huber loss (bent at 0.1: kernels that switch leave outliers) by Adam (Kingma & Ba, arXiv:1412.6980) with a
 * learning rate that falls as a cosine; `epochs` passes, or 0: 60, and more of fewer than 20,000 rows, so that a few
 * thousand are fitted as well as many. The same samples and seed give the same net. At least one row. */
void kv_ratio_net_fit(struct kv_ratio_net *net, const struct kv_ratio_samples *samples, int32_t epochs, uint64_t seed);

#endif
