/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/base/sha256.h"

#include <openssl/evp.h>

#include "sim/base/err.h"

void kv_sha256_open(struct kv_sha256 *s)
{
    s->context = EVP_MD_CTX_new();
    kv_assert(s->context && EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) == 1);
}

void kv_sha256_add(struct kv_sha256 *s, const void *data, size_t bytes)
{
    kv_assert(EVP_DigestUpdate(s->context, data, bytes) == 1);
}

void kv_sha256_hex(struct kv_sha256 *s, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int bytes = 0;
    kv_assert(EVP_DigestFinal_ex(s->context, digest, &bytes) == 1 && bytes == 32);
    for (unsigned int i = 0; i < bytes; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = 0;
}

void kv_sha256_close(struct kv_sha256 *s)
{
    EVP_MD_CTX_free(s->context);
    s->context = NULL;
}
