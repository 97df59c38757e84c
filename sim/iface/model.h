/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes of models and GPUs, as plug-ins see them. */
#ifndef KV_IFACE_MODEL_H
#define KV_IFACE_MODEL_H

#include "sim/lib/shape.h"

#endif
