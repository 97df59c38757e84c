/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/lib/s3.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "sim/base/arena.h"

#define BODY_KEPT 1024        /* of an answer that tells an error */
#define SLOTS 64
#define SLOT_PORT 20032       /* a multiple of 64 plus 0: ports 20032..58431 */
#define SLOT_PORTS 600
#define SLOT_TRIES 40

struct kv_s3 {
    struct kv_s3_server server;
    CURL *curl;
    struct curl_slist *headers;
    char *sign;                /* "aws:amz:REGION:s3" */
    struct kv_arena arena;
    uint32_t port;             /* the next to try of the slot */
    /* of the request under way */
    const struct kv_s3_request *request;
    struct kv_s3_answer *answer;
    long status;
    int64_t sent;
    bool no_range;
    char kept[BODY_KEPT + 1];
    size_t kept_length;
    char message[CURL_ERROR_SIZE];
};

double kv_s3_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

const char *kv_s3_outcome_name(enum kv_s3_outcome outcome)
{
    static const char *const name[] = {"ok", "denied", "missing", "busy", "refused", "vanished", "truncated", "timeout",
                                       "stopped"};
    return name[outcome];
}

/* ---- what libcurl calls ---- */

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct kv_s3 *c = context;
    size_t length = size * count;
    if (length > 5 && !strncmp(line, "HTTP/", 5)) {
        const char *space = memchr(line, ' ', length);
        c->status = space ? strtol(space + 1, NULL, 10) : 0;
        if (c->status >= 200 && c->answer->first_byte_s <= 0) c->answer->first_byte_s = kv_s3_now_s();
    } else if (length > 7 && !strncasecmp(line, "server:", 7)) {
        const char *value = line + 7, *end = line + length;
        while (value < end && *value == ' ') value++;
        while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) end--;
        snprintf(c->answer->server, sizeof c->answer->server, "%.*s", (int)(end - value), value);
    }
    return length;
}

static size_t on_body(char *piece, size_t size, size_t count, void *context)
{
    struct kv_s3 *c = context;
    struct kv_s3_answer *a = c->answer;
    size_t length = size * count;
    if (c->status >= 300) {
        size_t room = BODY_KEPT - c->kept_length, kept = length < room ? length : room;
        memcpy(c->kept + c->kept_length, piece, kept);
        c->kept_length += kept;
        return length;
    }
    if (c->request->verb != KV_S3_GET) return length;
    double now_s = kv_s3_now_s();
    if (!a->bytes) a->first_byte_s = now_s;
    /* A server that does not know ranges sends the whole object: it would be measured as something else. */
    c->no_range = !c->request->whole && c->status != 206;
    if (c->no_range) return CURL_WRITEFUNC_ERROR;
    if (c->request->take) c->request->take(c->request->context, piece, (int64_t)length, a->bytes, now_s);
    a->bytes += (int64_t)length;
    return length;
}

/* Bytes that no layer of a store can compress or tell apart from KV. */
static void noise(void *piece, int64_t length, int64_t offset)
{
    uint64_t x = (uint64_t)offset * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(88172645463325252);
    char *at = piece;
    for (int64_t i = 0; i < length; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(at + i, &x, (size_t)(length - i < 8 ? length - i : 8));
    }
}

static size_t on_read(char *piece, size_t size, size_t count, void *context)
{
    struct kv_s3 *c = context;
    int64_t left = c->request->bytes - c->sent, length = (int64_t)(size * count);
    if (length > left) length = left;
    if (c->request->give) c->request->give(c->request->context, piece, length, c->sent);
    else noise(piece, length, c->sent);
    c->sent += length;
    if (length) c->answer->sent_s = kv_s3_now_s();
    return (size_t)length;
}

/* A body is read again from its start when a kept connection turns out to be dead. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
    struct kv_s3 *c = context;
    if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
    c->sent = (int64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    (void)a; (void)b; (void)d; (void)e;
    const struct kv_s3 *c = context;
    return c->server.stop && *c->server.stop;
}

/* ---- a connection ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void start_curl(void) { curl_global_init(CURL_GLOBAL_ALL); }

static bool set_up(struct kv_s3 *c)
{
    CURL *h = c->curl;
    bool signs = c->server.key && *c->server.key;
    bool good = true;
#define SET(option, value) good = curl_easy_setopt(h, option, value) == CURLE_OK && good
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");                    /* whatever the environment says: the server itself is measured */
    SET(CURLOPT_ERRORBUFFER, c->message);
    SET(CURLOPT_BUFFERSIZE, 524288L);          /* the largest: fewer calls for large bodies */
    SET(CURLOPT_UPLOAD_BUFFERSIZE, 1048576L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)((c->server.connect_s > 0 ? c->server.connect_s : 10) * 1000));
    SET(CURLOPT_TIMEOUT_MS, (long)((c->server.request_s > 0 ? c->server.request_s : 300) * 1000));
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, c);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, c);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, c);
    SET(CURLOPT_SEEKFUNCTION, on_seek);
    SET(CURLOPT_SEEKDATA, c);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, c);
    if (signs) {
        /* libcurl 7.88 does not send this header itself, and S3 wants it (curl issue 8810). A header that is
         * switched off ("Expect:") would be signed and not sent, so none is. */
        c->headers = curl_slist_append(NULL, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
        SET(CURLOPT_HTTPHEADER, c->headers);
        SET(CURLOPT_AWS_SIGV4, c->sign);
        SET(CURLOPT_USERNAME, c->server.key);
        SET(CURLOPT_PASSWORD, c->server.secret ? c->server.secret : "");
    }
#undef SET
    return good;
}

struct kv_s3 *kv_s3_open(const struct kv_s3_server *server, struct kv_err *err)
{
    const char *e = server->endpoint;
    if (!e || (strncmp(e, "http://", 7) && strncmp(e, "https://", 8)))
        return kv_fail(err, KV_EUSAGE, "endpoint", "'%s' is no address of an S3 server; expected http://HOST:PORT or "
                       "https://HOST", e ? e : ""), NULL;
    if (server->port_slot >= SLOTS)
        return kv_fail(err, KV_EUSAGE, "port slot", "%d; there are 0 to 63", server->port_slot), NULL;
    pthread_once(&once, start_curl);
    struct kv_s3 *c = kv_mem_take(sizeof *c);
    c->server = *server;
    size_t length = strlen(e);
    while (length && e[length - 1] == '/') length--;
    c->server.endpoint = kv_arena_copy(&c->arena, e, length);
    c->sign = kv_arena_text(&c->arena, "aws:amz:%s:s3", server->region ? server->region : "us-east-1");
    c->port = (uint32_t)(kv_s3_now_s() * 1e3) % SLOT_PORTS;
    c->curl = curl_easy_init();
    if (c->curl && set_up(c)) return c;
    kv_fail(err, KV_EUSAGE, "endpoint", "libcurl %s cannot sign requests of S3", curl_version());
    kv_s3_close(c);
    return NULL;
}

void kv_s3_close(struct kv_s3 *c)
{
    if (!c) return;
    if (c->curl) curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    kv_arena_close(&c->arena);
    kv_mem_give(c, sizeof *c);
}

/* ---- a request ---- */

/* The text between <TAG> and </TAG> of an error body; empty when there is none. */
static int tag_of(const char *body, const char *tag, const char **text)
{
    char open[32];
    snprintf(open, sizeof open, "<%s>", tag);
    const char *start = strstr(body, open);
    if (!start) return 0;
    *text = start + strlen(open);
    const char *end = strchr(*text, '<');
    return end ? (int)(end - *text) : 0;
}

static const char *hint_of(enum kv_s3_outcome outcome)
{
    switch (outcome) {
    case KV_S3_DENIED: return ": wrong credentials, or no right to do this";
    case KV_S3_BUSY: return ": the server asks for fewer requests";
    case KV_S3_MISSING: return ": no such bucket or object";
    default: return "";
    }
}

static void fail_status(struct kv_s3 *c, struct kv_s3_answer *a)
{
    a->outcome = c->status == 403 || c->status == 401 ? KV_S3_DENIED : c->status == 404 ? KV_S3_MISSING
                 : c->status == 503 || c->status == 429 ? KV_S3_BUSY : KV_S3_REFUSED;
    const char *code = "", *text = "";
    c->kept[c->kept_length] = 0;
    int code_length = tag_of(c->kept, "Code", &code), text_length = tag_of(c->kept, "Message", &text);
    snprintf(a->error, sizeof a->error, "HTTP %ld%s%.*s%s%.*s%s", c->status, code_length ? " " : "",
             code_length < 64 ? code_length : 64, code, text_length ? ", " : "",
             text_length < 120 ? text_length : 120, text, hint_of(a->outcome));
}

static const char *verb_text(const struct kv_s3_request *r)
{
    static const char *const text[] = {"GET", "PUT", "DELETE", "HEAD"};
    return text[r->verb];
}

static void fail_curl(struct kv_s3 *c, CURLcode code, struct kv_s3_answer *a)
{
    const char *why = *c->message ? c->message : curl_easy_strerror(code);
    double after_s = a->end_s - a->start_s;
    if (c->no_range) {
        a->outcome = KV_S3_REFUSED;
        snprintf(a->error, sizeof a->error, "the server answers a range with HTTP %ld and the whole object", c->status);
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        a->outcome = KV_S3_STOPPED;
        snprintf(a->error, sizeof a->error, "stopped after %.3f s", after_s);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        a->outcome = KV_S3_TIMEOUT;
        snprintf(a->error, sizeof a->error, "%s was not done after %.3f s, %lld bytes came", verb_text(c->request),
                 after_s, (long long)a->bytes);
    } else if (code == CURLE_PARTIAL_FILE || (a->bytes > 0 && c->request->verb == KV_S3_GET)) {
        a->outcome = KV_S3_TRUNCATED;
        snprintf(a->error, sizeof a->error, "the body ended after %lld bytes (%s)", (long long)a->bytes, why);
    } else {
        a->outcome = KV_S3_VANISHED;
        snprintf(a->error, sizeof a->error, "no answer from %s (%s)", c->server.endpoint, why);
    }
}

/* What the answer is worth, when it came in good order. */
static void judge(struct kv_s3 *c, struct kv_s3_answer *a)
{
    const struct kv_s3_request *r = c->request;
    if (c->status < 200 || c->status >= 300) {
        fail_status(c, a);
    } else if (r->verb == KV_S3_GET && r->bytes > 0 && a->bytes != r->bytes) {
        a->outcome = KV_S3_TRUNCATED;
        snprintf(a->error, sizeof a->error, "a body of %lld bytes where %lld were asked for", (long long)a->bytes,
                 (long long)r->bytes);
    }
}

static bool ask(struct kv_s3 *c, const struct kv_s3_request *r)
{
    CURL *h = c->curl;
    char url[1024], range[64];
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./";
    if (r->object && strspn(r->object, plain) != strlen(r->object)) return false;
    int length = snprintf(url, sizeof url, "%s/%s%s%s", c->server.endpoint, r->bucket, r->object ? "/" : "",
                          r->object ? r->object : "");
    if (length < 0 || length >= (int)sizeof url) return false;
    snprintf(range, sizeof range, "%lld-%lld", (long long)r->offset, (long long)(r->offset + r->bytes - 1));
    bool good = true;
#define SET(option, value) good = curl_easy_setopt(h, option, value) == CURLE_OK && good
    SET(CURLOPT_URL, url);
    SET(CURLOPT_CUSTOMREQUEST, NULL);
    SET(CURLOPT_UPLOAD, 0L);
    SET(CURLOPT_NOBODY, r->verb == KV_S3_HEAD ? 1L : 0L);
    if (r->verb != KV_S3_HEAD) SET(CURLOPT_HTTPGET, 1L);
    SET(CURLOPT_RANGE, r->verb == KV_S3_GET && !r->whole ? range : NULL);
    if (r->verb == KV_S3_DELETE) SET(CURLOPT_CUSTOMREQUEST, "DELETE");
    if (r->verb == KV_S3_PUT) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->bytes);
    }
#undef SET
    return good;
}

/* A port of the slot that is in use, or was a minute ago, is refused by the kernel: the next one is tried. */
static CURLcode perform(struct kv_s3 *c, struct kv_s3_answer *a)
{
    CURLcode code = CURLE_OK;
    for (int tries = 0; tries < SLOT_TRIES; tries++, c->port = (c->port + 37) % SLOT_PORTS) {
        if (c->server.port_slot >= 0)
            curl_easy_setopt(c->curl, CURLOPT_LOCALPORT, (long)(SLOT_PORT + c->port * SLOTS)
                                                             + c->server.port_slot);
        c->status = 0;
        c->sent = 0;
        c->kept_length = 0;
        c->no_range = false;
        *c->message = 0;
        a->start_s = kv_s3_now_s();
        code = curl_easy_perform(c->curl);
        a->end_s = kv_s3_now_s();
        long reason = 0;
        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &reason);
        bool taken = code == CURLE_INTERFACE_FAILED
                     || (code == CURLE_COULDNT_CONNECT && (reason == EADDRINUSE || reason == EADDRNOTAVAIL));
        if (c->server.port_slot < 0 || !taken) break;
    }
    return code;
}

bool kv_s3_do(struct kv_s3 *c, const struct kv_s3_request *request, struct kv_s3_answer *answer)
{
    *answer = (struct kv_s3_answer){ .object_bytes = -1 };
    c->request = request;
    c->answer = answer;
    if (!ask(c, request)) {
        answer->outcome = KV_S3_REFUSED;
        snprintf(answer->error, sizeof answer->error, "'%.60s/%.120s' is no name this client can ask for",
                 request->bucket, request->object ? request->object : "");
        return false;
    }
    CURLcode code = perform(c, answer);
    answer->status = (int)c->status;
    curl_off_t connect_us = 0, size = -1;
    long made = 0;
    curl_easy_getinfo(c->curl, CURLINFO_NUM_CONNECTS, &made);
    if (made && curl_easy_getinfo(c->curl, CURLINFO_PRETRANSFER_TIME_T, &connect_us) == CURLE_OK)
        answer->connect_s = (double)connect_us * 1e-6;
    if (request->verb == KV_S3_HEAD
        && curl_easy_getinfo(c->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size) == CURLE_OK)
        answer->object_bytes = (int64_t)size;
    if (request->verb == KV_S3_PUT) answer->bytes = c->sent;
    if (code != CURLE_OK) fail_curl(c, code, answer);
    else judge(c, answer);
    return answer->outcome == KV_S3_OK;
}

static void give_text(void *context, void *piece, int64_t length, int64_t offset)
{
    memcpy(piece, (const char *)context + offset, (size_t)length);
}

bool kv_s3_make_bucket(struct kv_s3 *c, const char *bucket, struct kv_s3_answer *answer)
{
    struct kv_s3_request head = { .verb = KV_S3_HEAD, .bucket = bucket };
    struct kv_s3_request make = { .verb = KV_S3_PUT, .bucket = bucket };
    char place[192];
    if (kv_s3_do(c, &head, answer)) return true;
    if (answer->outcome != KV_S3_MISSING) return false;
    if (c->server.region && strcmp(c->server.region, "us-east-1") != 0) {
        /* Elsewhere the region has to be said once more (S3 CreateBucket). */
        snprintf(place, sizeof place, "<CreateBucketConfiguration><LocationConstraint>%.64s</LocationConstraint>"
                 "</CreateBucketConfiguration>", c->server.region);
        make.bytes = (int64_t)strlen(place);
        make.give = give_text;
        make.context = place;
    }
    if (kv_s3_do(c, &make, answer)) return true;
    if (answer->status != 409) return false;   /* made by another client in the meantime */
    return kv_s3_do(c, &head, answer);
}
