/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/inflate.h"

#include "sim/base/arena.h"

#ifdef KV_HAVE_ISAL
#include <isa-l/igzip_lib.h>

struct kv_inflate_engine { struct inflate_state state; };

static bool start(struct kv_inflate_engine *e)
{
    isal_inflate_init(&e->state);
    e->state.crc_flag = ISAL_GZIP;
    return true;
}

static void restart(struct kv_inflate_engine *e)
{
    isal_inflate_reset(&e->state);
    e->state.crc_flag = ISAL_GZIP;
}

static void stop(struct kv_inflate_engine *e)
{
    (void)e;
}

enum kv_inflate_result kv_inflate_step(struct kv_inflate *f)
{
    struct inflate_state *s = &f->engine->state;
    s->next_in = (unsigned char *)(uintptr_t)f->in;   /* only read; the library's field lacks the const */
    s->avail_in = (uint32_t)f->in_bytes;
    s->next_out = f->out;
    s->avail_out = (uint32_t)f->out_room;
    int result = isal_inflate(s);
    f->in = s->next_in;
    f->in_bytes = s->avail_in;
    f->out = s->next_out;
    f->out_room = s->avail_out;
    if (result < 0) return KV_INFLATE_DAMAGED;
    return s->block_state == ISAL_BLOCK_FINISH ? KV_INFLATE_END : KV_INFLATE_MORE;
}

#else
#include <zlib.h>

struct kv_inflate_engine { z_stream z; };

static bool start(struct kv_inflate_engine *e)
{
    return inflateInit2(&e->z, 15 + 16) == Z_OK;   /* 32 KiB window, gzip wrapper */
}

static void restart(struct kv_inflate_engine *e)
{
    inflateReset(&e->z);
}

static void stop(struct kv_inflate_engine *e)
{
    inflateEnd(&e->z);
}

enum kv_inflate_result kv_inflate_step(struct kv_inflate *f)
{
    z_stream *z = &f->engine->z;
    z->next_in = (unsigned char *)(uintptr_t)f->in;   /* only read; the library's field lacks the const */
    z->avail_in = (uInt)f->in_bytes;
    z->next_out = f->out;
    z->avail_out = (uInt)f->out_room;
    int result = inflate(z, Z_NO_FLUSH);
    f->in = z->next_in;
    f->in_bytes = z->avail_in;
    f->out = z->next_out;
    f->out_room = z->avail_out;
    if (result == Z_STREAM_END) return KV_INFLATE_END;
    return result == Z_OK || result == Z_BUF_ERROR ? KV_INFLATE_MORE : KV_INFLATE_DAMAGED;
}
#endif

bool kv_inflate_open(struct kv_inflate *f)
{
    *f = (struct kv_inflate){.engine = kv_mem_take(sizeof *f->engine)};
    return start(f->engine);
}

void kv_inflate_next_member(struct kv_inflate *f)
{
    restart(f->engine);
}

void kv_inflate_close(struct kv_inflate *f)
{
    if (!f->engine) return;
    stop(f->engine);
    kv_mem_give(f->engine, sizeof *f->engine);
    f->engine = NULL;
}
