/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/net/measure.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/lib/robust.h"
#include "sim/lib/rows.h"

#define MESSAGES_MAX 1e7

enum { OPERATION, TRANSPORT, ENDPOINTS, OUTSTANDING, BYTES, MESSAGES, SECONDS, COLUMNS };
static const char *const columns[] = {"operation", "transport", "endpoints", "outstanding", "message_bytes", "messages",
                                      "seconds", NULL};

static const char *operation_name(enum kv_net_operation operation)
{
    return operation == KV_NET_READ ? "read" : "write";
}

void kv_net_points_open(struct kv_net_points *p, const struct kv_net_plan *plan, struct kv_arena *arena)
{
    size_t count = (size_t)plan->endpoints.count * (size_t)plan->outstanding.count * (size_t)plan->bytes.count;
    *p = (struct kv_net_points){ .at = kv_arena_take(arena, count * sizeof *p->at),
                                 .sample_s = kv_arena_take(arena, count * sizeof *p->sample_s) };
    for (int32_t e = 0; e < plan->endpoints.count; e++)
        for (int32_t o = 0; o < plan->outstanding.count; o++)
            for (int32_t b = 0; b < plan->bytes.count; b++)
                p->at[p->count++] = (struct kv_net_point){
                    .endpoints = (int32_t)plan->endpoints.at[e], .outstanding = (int32_t)plan->outstanding.at[o],
                    .message_bytes = plan->bytes.at[b],
                };
}

static void take_sample(struct kv_net_points *p, int32_t index, double message_s)
{
    struct kv_net_point *point = &p->at[index];
    double *sample = p->sample_s[index];
    if (point->repeats == KV_NET_REPEATS_MAX) return;
    sample[point->repeats++] = message_s;
    point->message_s = kv_median(sample, (size_t)point->repeats);
}

/* ---- samples of an earlier run ---- */

struct reader { struct kv_rows rows; struct kv_columns columns; struct kv_net_points *points; const char *operation; };

static enum kv_row_kind read_row(void *state, struct kv_err *err)
{
    struct reader *r = state;
    if (!r->rows.header) return kv_columns_header(&r->columns, &r->rows, err);
    int64_t whole[COLUMNS] = {0};
    double seconds;
    if (!kv_columns_row(&r->columns, &r->rows, err)) return KV_ROW_BAD;
    for (int32_t c = ENDPOINTS; c <= MESSAGES; c++)
        if (!kv_columns_whole(&r->columns, &r->rows, c, INT64_C(1) << 40, &whole[c], err)) return KV_ROW_BAD;
    const struct kv_csv_field *time = kv_columns_field(&r->columns, SECONDS);
    const char *transport = kv_columns_field(&r->columns, TRANSPORT)->text;
    const char *operation = kv_columns_field(&r->columns, OPERATION)->text;
    if (kv_number_real(time->text, time->length, &seconds) || !(seconds > 0) || whole[MESSAGES] < 1) {
        kv_input_fail(&r->rows.in, err, "expected a number of messages and the seconds that they took, above 0");
        return KV_ROW_BAD;
    }
    if (strcmp(operation, r->operation) || (*r->points->transport && strcmp(transport, r->points->transport))) {
        kv_input_fail(&r->rows.in, err, "found %s over %s among %ss over %s: samples of one kind belong in a file",
                      operation, transport, r->operation, *r->points->transport ? r->points->transport : transport);
        return KV_ROW_BAD;
    }
    snprintf(r->points->transport, sizeof r->points->transport, "%s", transport);
    for (int32_t i = 0; i < r->points->count; i++) {
        const struct kv_net_point *p = &r->points->at[i];
        if (p->endpoints == whole[ENDPOINTS] && p->outstanding == whole[OUTSTANDING]
            && p->message_bytes == whole[BYTES])
            take_sample(r->points, i, seconds / (double)whole[MESSAGES]);
    }
    return KV_ROW_GOOD;
}

bool kv_net_samples_read(struct kv_net_points *p, const char *path, const struct kv_net_plan *plan, struct kv_err *err)
{
    if (access(path, F_OK) != 0) return true;
    struct reader r = { .columns = { .name = columns, .required = COLUMNS }, .points = p,
                        .operation = operation_name(plan->operation) };
    int got = kv_rows_open(&r.rows, path, false, false, err) ? 1 : -1;
    while (got == 1) got = kv_rows_next(&r.rows, read_row, &r, err);
    kv_rows_close(&r.rows);
    return got == 0;
}

/* ---- measuring ---- */

struct bench {
    const struct kv_net_plan *plan;
    struct kv_net_points *points;
    struct kv_net_client *client;
    FILE *samples;
    bool fresh;                          /* nothing is in it yet, not even the header */
    double batch_s, until_s;
};

/* A batch of about so many messages: whole rounds of all that may be under way, so that beginning and end weigh little;
 * less than a round where that alone would take too long. */
static struct kv_net_batch batch_of(const struct bench *b, const struct kv_net_point *point, double messages)
{
    double round = (double)point->endpoints * (double)point->outstanding;
    double count = messages > round ? ceil(messages / round) * round : ceil(messages);
    if (count > MESSAGES_MAX) count = MESSAGES_MAX;
    return (struct kv_net_batch){ b->plan->operation, point->endpoints, point->outstanding, point->message_bytes,
                                  (int64_t)count };
}

/* One line, and the header before the first, in one piece: what is there is whole. *seconds becomes what was written,
 * so that samples read again are the same to the last digit. */
static bool write_sample(struct bench *b, const struct kv_net_batch *batch, double *seconds, struct kv_err *err)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", *seconds);
    *seconds = strtod(text, NULL);
    for (int32_t c = 0; b->fresh && c < COLUMNS; c++)
        fprintf(b->samples, "%s%s", columns[c], c + 1 < COLUMNS ? "," : "\n");
    b->fresh = false;
    fprintf(b->samples, "%s,%s,%d,%d,%lld,%lld,%s\n", operation_name(batch->operation), b->points->transport,
            batch->endpoints, batch->outstanding, (long long)batch->message_bytes, (long long)batch->messages, text);
    return fflush(b->samples) == 0 || kv_fail(err, KV_EIO, "", "cannot write samples: %s", strerror(errno));
}

/* Growing batches warm up (memory, windows of TCP) and tell how many messages fill the time. */
static bool measure_point(struct bench *b, int32_t index, struct kv_err *err)
{
    struct kv_net_point *point = &b->points->at[index];
    struct kv_net_batch batch = batch_of(b, point, 1);
    double seconds;
    for (double warm_s = 0; warm_s < b->batch_s / 2; warm_s += seconds) {
        if (!kv_net_move(b->client, &batch, &seconds, err)) return false;
        double fills = (double)batch.messages * b->batch_s / seconds, most = 16 * (double)batch.messages;
        batch = batch_of(b, point, fills < most ? fills : most);
    }
    while (point->repeats < b->plan->repeats && (!point->repeats || kv_net_now_s() < b->until_s)) {
        if (!kv_net_move(b->client, &batch, &seconds, err)) return false;
        if (!write_sample(b, &batch, &seconds, err)) return false;
        take_sample(b->points, index, seconds / (double)batch.messages);
    }
    return true;
}

static bool open_samples(struct bench *b, const char *path, struct kv_err *err)
{
    b->fresh = access(path, F_OK) != 0;
    if (mkdir(b->plan->folder, 0777) != 0 && errno != EEXIST)
        return kv_fail(err, KV_EIO, b->plan->folder, "cannot be made: %s", strerror(errno));
    b->samples = fopen(path, "a");
    return b->samples || kv_fail(err, KV_EIO, path, "cannot be written: %s", strerror(errno));
}

bool kv_net_measure(struct kv_net_points *p, const char *path, const struct kv_net_plan *plan,
                    const volatile sig_atomic_t *stop, void (*tell)(const struct kv_net_point *point),
                    struct kv_err *err)
{
    int32_t missing = 0;
    for (int32_t i = 0; i < p->count; i++) missing += p->at[i].repeats < plan->repeats;
    if (!missing) return true;
    struct bench b = { .plan = plan, .points = p };
    b.batch_s = fmin(plan->batch_s, plan->budget_s / missing / (plan->repeats + 2));
    b.client = kv_net_connect(plan->server, (int32_t)plan->endpoints.at[plan->endpoints.count - 1], stop, err);
    bool good = b.client != NULL;
    const char *transport = good ? kv_net_transport(b.client) : "";
    if (good && *p->transport && strcmp(p->transport, transport) != 0)
        good = kv_fail(err, KV_EUSAGE, path, "its samples were taken over %s, and this is %s", p->transport, transport);
    if (good) snprintf(p->transport, sizeof p->transport, "%s", transport);
    good = good && open_samples(&b, path, err);
    b.until_s = kv_net_now_s() + plan->budget_s;
    for (int32_t i = 0; good && i < p->count && kv_net_now_s() < b.until_s; i++) {
        if (p->at[i].repeats >= plan->repeats) continue;
        good = measure_point(&b, i, err);
        if (good) tell(&p->at[i]);
    }
    if (b.samples && fclose(b.samples) != 0 && good)
        good = kv_fail(err, KV_EIO, path, "cannot be written: %s", strerror(errno));
    if (b.client) kv_net_disconnect(b.client);
    return good;
}
