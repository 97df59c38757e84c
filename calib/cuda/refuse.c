/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/cuda/refuse.h"

#include "sim/base/err.h"

bool kv_refuse_unless(bool good, const char *what, struct kv_err *err)
{
    return good || kv_fail(err, KV_EUSAGE, "launch", "%s", what);
}

static bool is_aligned(const void *at)
{
    return at && (uintptr_t)at % 16 == 0;
}

bool kv_refuse_pages(const struct kv_pages *p, int32_t heads, struct kv_err *err)
{
    if (p->head_dim != 64 && p->head_dim != 128)
        return kv_fail(err, KV_EUSAGE, "launch", "heads of %d elements: there is a kernel for 64 and for 128",
                       p->head_dim);
    if (p->page_tokens < 1 || p->page_tokens > 256 || (p->page_tokens & (p->page_tokens - 1)))
        return kv_fail(err, KV_EUSAGE, "launch", "pages of %d tokens: a power of two up to 256 is needed",
                       p->page_tokens);
    if (p->kv_heads < 1 || heads < 1 || heads % p->kv_heads)
        return kv_fail(err, KV_EUSAGE, "launch", "%d heads are no multiple of %d KV heads", heads, p->kv_heads);
    return kv_refuse_unless(is_aligned(p->keys) && is_aligned(p->values), "pages are not aligned to 16 bytes", err);
}

bool kv_refuse_rows(const void *at, int64_t stride, int64_t width, struct kv_err *err)
{
    return kv_refuse_unless(is_aligned(at) && stride % 8 == 0 && width % 8 == 0,
                            "rows are not aligned to 16 bytes", err)
           && kv_refuse_unless(stride >= width, "rows lie one over the other", err);
}
