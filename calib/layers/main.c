/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim-calib-layers: real clients that read KV layer by layer from a real S3 server while they "compute", for
 * comparison with what kvsim simulates (docs/validation.md).
 *
 *   S3_ENDPOINT=.. S3_KEY=.. S3_SECRET=.. kvsim-calib-layers run PLAN.yaml      CSV on stdout
 *   S3_ENDPOINT=.. S3_KEY=.. S3_SECRET=.. kvsim-calib-layers put BUCKET KEY COUNT BYTES
 *
 * `put` makes the bucket, and in it KEY.0 .. KEY.COUNT-1 of BYTES bytes each ("4MiB"). The CSV has a row for each layer
 * of each client; times in seconds since the start of the run; ttft_s of a client is the end of its last layer less
 * its start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calib/layers/client.h"
#include "calib/lib/s3.h"
#include "sim/conf/bind.h"

static int told(const struct kv_err *err)
{
    fprintf(stderr, "kvsim-calib-layers: %s: %s\n", err->where, err->text);
    return (int)err->code;
}

static void print_client(const struct kv_layers_client *c, int32_t number)
{
    int64_t layers = c->spec->layers;
    for (int64_t l = 0; l < layers; l++) {
        const struct kv_layers_times *t = &c->layer[l];
        /* Whole objects bring all layers, so all have the requests of the first. */
        const struct kv_layers_times *asked = c->spec->mode == KV_LAYERS_CHUNKWISE ? &c->layer[0] : t;
        printf("%d,%lld,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f\n", number, (long long)l, c->start_s, asked->fetch_start_s,
               asked->first_byte_s, t->fetch_end_s, t->compute_start_s, t->compute_end_s,
               c->layer[layers - 1].compute_end_s - c->start_s);
    }
}

static int run(const char *path)
{
    struct kv_arena arena = {0};
    struct kv_diag diag = {0};
    struct kv_layers_plan plan = {0};
    struct kv_err err = {0};
    int code = KV_ECONFIG;
    if (kv_layers_plan_read(&arena, path, &plan, &diag)) {
        struct kv_layers_client *client = kv_arena_take(&arena, (size_t)plan.count * sizeof *client);
        for (int32_t i = 0; i < plan.count; i++) kv_layers_open(&client[i], &arena, &plan.client[i], plan.bucket);
        code = kv_layers_run(client, plan.count, &arena, &err) ? KV_OK : told(&err);
        if (code == KV_OK) {
            puts("client,layer,start_s,fetch_start_s,first_byte_s,fetch_end_s,compute_start_s,compute_end_s,ttft_s");
            for (int32_t i = 0; i < plan.count; i++) print_client(&client[i], i);
            if (fflush(stdout) != 0) code = KV_EIO;
        }
        for (int32_t i = 0; i < plan.count; i++) kv_layers_close(&client[i]);
    }
    fputs(kv_diag_text(&diag, false), stderr);
    kv_diag_close(&diag);
    kv_arena_close(&arena);
    return code;
}

static bool put_all(struct kv_s3 *s3, const char *bucket, const char *key, int64_t count, int64_t bytes,
                    struct kv_err *err)
{
    struct kv_s3_answer answer;
    if (!kv_s3_make_bucket(s3, bucket, &answer)) return kv_fail(err, KV_EIO, bucket, "%s", answer.error);
    for (int64_t i = 0; i < count; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s.%lld", key, (long long)i);
        struct kv_s3_request request = { .verb = KV_S3_PUT, .bucket = bucket, .object = name, .bytes = bytes };
        if (!kv_s3_do(s3, &request, &answer)) return kv_fail(err, KV_EIO, name, "%s", answer.error);
    }
    return true;
}

static int put(const char *bucket, const char *key, const char *count_text, const char *bytes_text)
{
    static const struct kv_param count_param = { .key = "COUNT", .dim = KV_DIM_COUNT, .min = 1, .max = 1e6 };
    static const struct kv_param bytes_param = { .key = "BYTES", .dim = KV_DIM_BYTES, .min = 1, .max = 1e12 };
    struct kv_arena arena = {0};
    struct kv_err err = {0};
    const char *why = NULL;
    int64_t count, bytes;
    int code = KV_OK;
    if (!kv_value_parse(&arena, &count_param, count_text, &count, &why) ||
        !kv_value_parse(&arena, &bytes_param, bytes_text, &bytes, &why)) {
        kv_fail(&err, KV_EUSAGE, "put", "%s", why);
        code = told(&err);
    } else {
        struct kv_s3_server server = { .endpoint = getenv("S3_ENDPOINT"), .key = getenv("S3_KEY"),
                                       .secret = getenv("S3_SECRET"), .port_slot = -1 };
        struct kv_s3 *s3 = kv_s3_open(&server, &err);
        if (!s3 || !put_all(s3, bucket, key, count, bytes, &err)) code = told(&err);
        if (s3) kv_s3_close(s3);
    }
    kv_arena_close(&arena);
    return code;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "run") == 0) return run(argv[2]);
    if (argc == 6 && strcmp(argv[1], "put") == 0) return put(argv[2], argv[3], argv[4], argv[5]);
    fputs("usage: kvsim-calib-layers run PLAN.yaml\n"
          "       kvsim-calib-layers put BUCKET KEY COUNT BYTES\n", stderr);
    return KV_EUSAGE;
}
