/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/cuda/part.h"

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <string.h>
#include <time.h>

#include "sim/base/arena.h"
#include "sim/base/err.h"

#define OCCUPIED_MOST_S 20.0   /* a measurement is over by then; and if it is not, the device is free again */
#define ARRIVAL_MOST_S 1.0

struct kv_part {
    kv_cuda_stream stream;
    CUgreenCtx green;                            /* NULL: occupied SMs */
    CUresult (*destroy)(CUgreenCtx);
    kv_cuda_stream occupier;
    volatile int32_t *words;                     /* pinned: how many are here, and whether they shall end */
};

/* ---- green contexts ---- */

/* Functions of the driver, which this program does not link: without one it must still say so. */
static bool find(const char *name, unsigned version, void *function)
{
    void *found = NULL;
    enum cudaDriverEntryPointQueryResult result;
    if (cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &result) != cudaSuccess
        || result != cudaDriverEntryPointSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    memcpy(function, &found, sizeof found);
    return true;
}

/* Tries; true when the part has a stream on `sms` SMs exactly. */
static bool open_green(struct kv_part *p, const struct kv_cuda_device *d, int32_t sms)
{
    CUresult (*resource_of)(CUdevice, CUdevResource *, CUdevResourceType);
    CUresult (*split)(CUdevResource *, unsigned *, const CUdevResource *, CUdevResource *, unsigned, unsigned);
    CUresult (*describe)(CUdevResourceDesc *, CUdevResource *, unsigned);
    CUresult (*create)(CUgreenCtx *, CUdevResourceDesc, CUdevice, unsigned);
    CUresult (*open_stream)(CUstream *, CUgreenCtx, unsigned, int);
    CUdevResource all, part, rest;
    CUdevResourceDesc description;
    unsigned groups = 1;
    if (!find("cuDeviceGetDevResource", 12040, &resource_of) || !find("cuDevSmResourceSplitByCount", 12040, &split)
        || !find("cuDevResourceGenerateDesc", 12040, &describe) || !find("cuGreenCtxCreate", 12040, &create)
        || !find("cuGreenCtxStreamCreate", 12050, &open_stream) || !find("cuGreenCtxDestroy", 12040, &p->destroy))
        return false;
    if (resource_of(d->index, &all, CU_DEV_RESOURCE_TYPE_SM) != CUDA_SUCCESS
        || split(&part, &groups, &all, &rest, 0, (unsigned)sms) != CUDA_SUCCESS || groups < 1
        || part.sm.smCount != (unsigned)sms || describe(&description, &part, 1) != CUDA_SUCCESS
        || create(&p->green, description, d->index, CU_GREEN_CTX_DEFAULT_STREAM) != CUDA_SUCCESS) return false;
    if (open_stream(&p->stream, p->green, CU_STREAM_NON_BLOCKING, 0) == CUDA_SUCCESS) return true;
    (void)p->destroy(p->green);
    p->green = NULL;
    p->stream = NULL;
    return false;
}

/* ---- occupied SMs ---- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool open_occupied(struct kv_part *p, const struct kv_cuda_device *d, int32_t sms, struct kv_err *err)
{
    void *words;
    int32_t others = d->sms - sms;
    if (!kv_cuda_stream_open(&p->stream, err)) return false;
    if (others <= 0) return true;
    if (!kv_cuda_stream_open(&p->occupier, err) || !kv_cuda_take_host(&words, 2 * sizeof(int32_t), err)) return false;
    p->words = words;
    p->words[0] = p->words[1] = 0;
    if (!kv_occupy(others, d->shared_bytes, &p->words[0], &p->words[1], OCCUPIED_MOST_S, p->occupier, err))
        return false;
    for (double until_s = now_s() + ARRIVAL_MOST_S; p->words[0] < others;)
        if (now_s() > until_s)
            return kv_fail(err, KV_ENOHW, "", "shares of the SMs are left out: the others could not be occupied");
    return true;
}

/* ---- both ---- */

bool kv_part_open(struct kv_part **part, const struct kv_cuda_device *device, int32_t sms, struct kv_err *err)
{
    struct kv_part *p = kv_mem_take(sizeof *p);
    if (sms < 1) sms = 1;
    if (sms > device->sms) sms = device->sms;
    *part = NULL;
    if (sms < device->sms ? open_green(p, device, sms) || open_occupied(p, device, sms, err)
                          : kv_cuda_stream_open(&p->stream, err)) {
        *part = p;
        return true;
    }
    kv_part_close(p);
    return false;
}

void kv_part_close(struct kv_part *p)
{
    if (!p) return;
    if (p->words) p->words[1] = 1;
    if (p->occupier) (void)cudaStreamSynchronize(p->occupier);
    kv_cuda_stream_close(p->stream);
    kv_cuda_stream_close(p->occupier);
    if (p->green) (void)p->destroy(p->green);
    if (p->words) kv_cuda_give_host((void *)(uintptr_t)p->words);
    kv_mem_give(p, sizeof *p);
}

kv_cuda_stream kv_part_stream(const struct kv_part *part)
{
    return part->stream;
}

const char *kv_part_how(const struct kv_part *part)
{
    return part->green ? "green context" : part->words ? "occupied SMs" : "all SMs";
}
