/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_CIPHER_H
#define KMSE_GLUE_CIPHER_H

#include "envelope/open.h"
#include "envelope/seal.h"
#include "glue/provctx.h"
#include "keyring/ring.h"

/* Where an EVP_CIPHER_CTX stands with its message. */
enum kmse_cipher_state {
    KMSE_CIPHER_NEW,    /* never initialised */
    KMSE_CIPHER_READY,  /* initialised; nothing of the message seen */
    KMSE_CIPHER_AAD,    /* AAD seen: an encrypting one has drawn its nonce */
    KMSE_CIPHER_BODY,   /* data seen */
    KMSE_CIPHER_DONE,   /* the message is complete */
    KMSE_CIPHER_FAILED, /* poisoned until the next init */
};

/* AAD given before a decrypt's header waits: here, if short, or on the heap. */
enum { KMSE_AAD_INLINE = 64, KMSE_AAD_MAX = 65536 };
struct kmse_aad_buffer {
    uint8_t small[KMSE_AAD_INLINE];
    uint8_t *large; /* KMSE_AAD_MAX bytes once needed, kept for reuse */
    size_t len;
};

struct kmse_cipher_ctx {
    const struct kmse_core *core;
    struct kmse_ring *ring;
    bool ring_is_owned; /* legacy names: legacy.h */
    enum kmse_cipher_state state;
    enum kmse_direction direction;

    char key_name[KMSE_KEY_NAME_MAX + 1]; /* "": the default key */
    uint32_t wanted_version;              /* 0: any */
    struct kmse_key *key;                 /* found for key_name, or NULL */
    struct kmse_lease *lease;             /* or NULL */
    uint32_t used_version;                /* of this message, or 0 */

    struct kmse_seal seal;
    struct kmse_open open;
    uint8_t header[KMSE_HEADER_LEN]; /* of a message being read */
    size_t header_len;
    struct kmse_aad_buffer aad;
};

/* Raise, poison the context and return 0. */
int kmse_cipher_fail(struct kmse_cipher_ctx *ctx, kmse_st st,
                     const struct kmse_why *why, const char *file, int line,
                     const char *function);
#define CIPHER_FAIL(ctx, st, why)                                              \
    kmse_cipher_fail((ctx), (st), (why), __FILE__, __LINE__, __func__)

/* The key of that name from the next message on. name: valid, or "". */
void kmse_cipher_set_key_name(struct kmse_cipher_ctx *ctx, const char *name);

/* cipher_params.c */
OSSL_FUNC_cipher_get_params_fn kmse_cipher_get_params;
OSSL_FUNC_cipher_gettable_params_fn kmse_cipher_gettable_params;
OSSL_FUNC_cipher_get_ctx_params_fn kmse_cipher_get_ctx_params;
OSSL_FUNC_cipher_gettable_ctx_params_fn kmse_cipher_gettable_ctx_params;
OSSL_FUNC_cipher_set_ctx_params_fn kmse_cipher_set_ctx_params;
OSSL_FUNC_cipher_settable_ctx_params_fn kmse_cipher_settable_ctx_params;

#endif
