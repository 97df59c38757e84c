/* SPDX-License-Identifier: Apache-2.0 */
/* What the `kvsim calib` commands share. */
#ifndef KV_CLI_CALIB_H
#define KV_CLI_CALIB_H

#include "sim/cli/cli.h"
#include "sim/conf/op_profile.h"
#include "sim/conf/profile.h"
#include "sim/iface/model.h"
#include "sim/lib/shape.h"

/* Points held out of the fit to tell its error, and which. */
struct kv_holdout { int64_t permille; uint64_t seed; };

/* The per-layer tables that LLMServingSim's profiler takes inside vLLM, from folder `tp<N>` (its meta.yaml lies above),
 * as a profile: fitted without the points held out, scored on them, then fitted with all. */
bool kv_calib_vllm_layers(struct kv_arena *arena, const char *folder, const struct kv_model_shape *model,
                          const struct kv_holdout *holdout, struct kv_profile *profile, struct kv_err *err);

/* Vidur's tables, [MAKER/]MODEL/mlp.csv below the folder, and FOLDER/all_reduce.csv, plain or gzip, added to samples
 * whose GPU is named; times become us. A failure names file, row and reason. */
bool kv_calib_vidur(struct kv_arena *arena, const char *folder, struct kv_op_samples *s, struct kv_err *err);
bool kv_calib_vidur_all_reduce(struct kv_arena *arena, const char *folder, struct kv_op_samples *s, struct kv_err *err);
bool kv_calib_is_vidur(struct kv_arena *arena, const char *folder);

/* The data sheet of a GPU of models/gpus. */
bool kv_calib_gpu(struct kv_arena *arena, const char *name, struct kv_gpu_spec *gpu, struct kv_err *err);
/* Folder of a GPU profile: a name of models/profiles, or a path with a slash. */
const char *kv_calib_folder(struct kv_arena *arena, const char *name);
/* Whether that folder holds one; no message. `calib check` of it: errors of points held out when it was fitted, against
 * the bar. Exit code. */
bool kv_calib_is_gpu(struct kv_arena *arena, const char *name);
int kv_calib_check_gpu(struct kv_args *args, double bar);

/* `calib import` of forms `samples`, `aiconfigurator` and `vidur`; what is in an operator profile; `calib check` of
 * samples of operators, and whether a folder holds such. Exit codes. */
int kv_calib_import_ops(struct kv_args *args, const char *out);
void kv_calib_print_ops(const struct kv_op_profile *profile);
bool kv_calib_is_samples(struct kv_arena *arena, const char *folder);
int kv_calib_check_samples(struct kv_args *args);
/* `calib diff` of two operator profiles: only what differs; times over a fixed set of shapes that both measured. */
int kv_calib_diff_ops(struct kv_args *args);

/* Runs kvsim-calib-NAME, which lies beside this program, with the arguments and flags given; only returns when it
 * cannot: 77 with a message where it was not built. */
int kv_calib_run(struct kv_args *args, const char *name);
/* `calib info` of a profile of a store, or of a link. */
int kv_calib_info_device(struct kv_args *args, const char *name, bool store);

#endif
