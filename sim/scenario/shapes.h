/* SPDX-License-Identifier: Apache-2.0 */
/* Models and GPUs as data files: models/data/NAME.yaml and models/gpus/NAME.yaml, flat maps whose keys are the fields
 * of struct kv_model_shape and struct kv_gpu_spec with typed units, plus `source` and `aliases`.
 * They are found by sim/conf/data.h. */
#ifndef KV_SCENARIO_SHAPES_H
#define KV_SCENARIO_SHAPES_H

#include "sim/conf/data.h"
#include "sim/conf/diag.h"
#include "sim/iface/model.h"

/* `name`: a file name without ".yaml", an alias, or the path of a file that ends in ".yaml" (relative to `folder`).
 * Case does not matter in names and aliases. `at`: where the name was written, for messages. */
bool kv_model_load(struct kv_arena *arena, const char *name, const char *folder, struct kv_pos at,
                   struct kv_model_shape *shape, struct kv_diag *diag);
bool kv_gpu_load(struct kv_arena *arena, const char *name, const char *folder, struct kv_pos at,
                 struct kv_gpu_spec *gpu, struct kv_diag *diag);

/* Parameter presets of a store or a link: the tree of models/stores/NAME.yaml or models/links/NAME.yaml; a name with a
 * slash is the path of such a file or, without ".yaml", of a folder with profile.yaml, as `kvsim calib` writes it. Its
 * keys are `kind` (the plug-in that has the parameters), `source`, perhaps `aliases` and `calibration` (how it was
 * measured), and parameters, which nobody has looked at yet. Parameters that end in "_curve" are tables that lie beside
 * the file; here they are paths. models/stores/NAME may itself be such a folder. */
#define KV_CALIBRATION_VERSION "1"   /* of calibration.version */
typedef struct kv_yaml *kv_profile_loader(struct kv_arena *arena, const char *name, const char *folder,
                                          struct kv_pos at, struct kv_diag *diag);
kv_profile_loader kv_store_profile_load, kv_link_profile_load;

struct kv_shape_entry { const char *name, *path, *source, *aliases /* "a, b"; "" */; };
/* All that ship, by name. Returns how many; notes problems. */
int32_t kv_model_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag);
int32_t kv_gpu_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag);
int32_t kv_store_profile_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag);
int32_t kv_link_profile_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag);

#endif
