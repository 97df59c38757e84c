/* SPDX-License-Identifier: Apache-2.0 */
/* profile.yaml of what was fitted, which `network.links.NAME: {profile: FOLDER}` takes, and what is said about it. */
#ifndef KV_CALIB_NET_PROFILE_H
#define KV_CALIB_NET_PROFILE_H

#include <stdio.h>

#include "calib/net/fit.h"

/* A transport over RDMA verbs, by UCX's name. */
bool kv_net_is_rdma(const char *transport);
/* Writes FOLDER/profile.yaml over what is there, and prints the parameters and their errors to `out`. */
bool kv_net_profile_write(struct kv_arena *arena, const char *folder, const struct kv_net_points *points,
                          const struct kv_net_plan *plan, const struct kv_net_link *link, FILE *out,
                          struct kv_err *err);

#endif
