/* SPDX-License-Identifier: Apache-2.0 */
/* A client of S3 object storage for measurements: requests signed by SigV4 (libcurl), each timed by its own clock.
 *
 * A connection belongs to one thread at a time and is kept alive between requests. Open all connections before the
 * threads start: opening takes memory of sim/base, which is not for several threads; kv_s3_do takes none.
 *
 *     struct kv_s3_server server = { .endpoint = getenv("S3_ENDPOINT"), .key = ..., .secret = ..., .port_slot = -1 };
 *     struct kv_s3 *c = kv_s3_open(&server, &err);              one a thread
 *     struct kv_s3_request get = { .verb = KV_S3_GET, .bucket = "kv", .object = "chunk-7", .bytes = 1 << 20 };
 *     struct kv_s3_answer a;
 *     if (!kv_s3_do(c, &get, &a)) say(a.error);                 a.outcome tells the kinds of failures apart
 *     first byte after a.first_byte_s - a.start_s, all after a.end_s - a.start_s
 *     kv_s3_close(c);
 *
 * Layers as they come: one GET of a range, and `take` is called with each piece of it, its offset and its time.
 * What a server needs to be measured fairly (Ceph RGW: tcp_nodelay=1) is in docs/calibration.md. */
#ifndef KV_CALIB_S3_H
#define KV_CALIB_S3_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/base/err.h"

/* Texts must outlive the connections; they are sent to the server (the secret as a signature only), never printed. */
struct kv_s3_server {
    const char *endpoint;      /* "http://HOST:PORT" or "https://HOST"; buckets are addressed by path */
    const char *key, *secret;  /* NULL or empty: requests are not signed */
    const char *region;        /* NULL: us-east-1, which Ceph and most others take */
    double connect_s;          /* longest wait for a connection; 0: 10 s */
    double request_s;          /* longest time of a request; 0: 300 s */
    int port_slot;             /* 0..63: the local TCP port has this remainder mod 64, so that a classifier of the
                                  kernel (tc) can tell the flow by its port; -1: any port */
    const volatile sig_atomic_t *stop;   /* not 0: requests under way end (KV_S3_STOPPED); may be NULL */
};

/* What became of a request. */
enum kv_s3_outcome {
    KV_S3_OK,
    KV_S3_DENIED,              /* 401, 403: credentials, or rights */
    KV_S3_MISSING,             /* 404 */
    KV_S3_BUSY,                /* 503 or 429: the server asks for fewer requests */
    KV_S3_REFUSED,             /* any other status, or an answer that is not what was asked for */
    KV_S3_VANISHED,            /* no server there, or gone before its answer began */
    KV_S3_TRUNCATED,           /* the body ended early */
    KV_S3_TIMEOUT,
    KV_S3_STOPPED,
};

enum kv_s3_verb { KV_S3_GET, KV_S3_PUT, KV_S3_DELETE, KV_S3_HEAD };

struct kv_s3_request {
    enum kv_s3_verb verb;
    const char *bucket;        /* 3 or more characters (S3's rule) */
    const char *object;        /* letters, digits and "-_./" only; NULL: the bucket itself (PUT makes it) */
    /* GET: `bytes` > 0 and whole = false: the range [offset, offset + bytes). whole: the object; `bytes`, if not 0, is
     * what it must have. PUT: bytes of the body. */
    bool whole;
    int64_t offset, bytes;
    /* GET: called with each piece as it comes; offset from the first byte asked for, now_s as in the answer. NULL:
     * bytes are counted and dropped. */
    void (*take)(void *context, const void *piece, int64_t length, int64_t offset, double now_s);
    /* PUT: fills `length` bytes of the body from `offset` on. NULL: noise that does not compress. */
    void (*give)(void *context, void *piece, int64_t length, int64_t offset);
    void *context;
};

/* Times are seconds of CLOCK_MONOTONIC. */
struct kv_s3_answer {
    enum kv_s3_outcome outcome;
    int status;                /* of HTTP; 0: none came */
    double start_s;            /* the request is handed over */
    double connect_s;          /* spent making a connection, within start..first byte; 0: it was kept alive */
    double first_byte_s;       /* first byte of the body is here; without a body, of the answer; 0: none came */
    double sent_s;             /* PUT: last byte of the body was handed to the kernel; else 0 */
    double end_s;
    int64_t bytes;             /* of the body that came (GET), or was sent (PUT) */
    int64_t object_bytes;      /* HEAD: size of the object; else -1 */
    char server[64];           /* what the server calls itself; "" when it does not */
    char error[320];           /* "" when all is well; else one line that says what happened */
};

struct kv_s3;
/* NULL with *err (KV_EUSAGE): what was given cannot be a server. Nothing is sent yet. */
struct kv_s3 *kv_s3_open(const struct kv_s3_server *server, struct kv_err *err);
void kv_s3_close(struct kv_s3 *c);
/* True: KV_S3_OK. The answer is filled in either case. */
bool kv_s3_do(struct kv_s3 *c, const struct kv_s3_request *request, struct kv_s3_answer *answer);
/* Makes the bucket; that it is there already is well. */
bool kv_s3_make_bucket(struct kv_s3 *c, const char *bucket, struct kv_s3_answer *answer);
/* "denied", "truncated": what samples call an outcome. */
const char *kv_s3_outcome_name(enum kv_s3_outcome outcome);
/* The clock of all times above. */
double kv_s3_now_s(void);

#endif
