/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_CIPHER_H
#define KMSE_GLUE_CIPHER_H

#include "base/crypto.h"
#include "envelope/header.h"
#include "glue/aad.h"
#include "glue/binding.h"
#include "glue/compat.h"

/*
 * What all our ciphers have in common: the key's name and version, the lease,
 * the states of a message and EVP's calls. What a message looks like is told
 * by a struct kmse_cipher_kind, one a cipher.
 *   cipher_ctx.c     contexts and init
 *   cipher_call.c    Update, Final, EVP_Cipher
 *   cipher_params.c  parameters
 *   cipher_skey.c    init with an EVP_SKEY
 */

/* Where an EVP_CIPHER_CTX stands with its message. */
enum kmse_cipher_state {
    KMSE_CIPHER_NEW,    /* never initialised */
    KMSE_CIPHER_READY,  /* initialised; nothing of the message seen */
    KMSE_CIPHER_AAD,    /* AAD seen: an encrypting one has drawn its nonce */
    KMSE_CIPHER_BODY,   /* data seen */
    KMSE_CIPHER_DONE,   /* the message is complete */
    KMSE_CIPHER_FAILED, /* poisoned until the next init */
};

/* The first member of every cipher's own context. */
struct kmse_cipher_ctx {
    const struct kmse_cipher_kind *kind;
    struct kmse_binding binding;
    enum kmse_cipher_state state;
    enum kmse_direction direction;

    uint8_t header[KMSE_HEADER_LEN]; /* of a message being read */
    size_t header_len;
    struct kmse_aad_buffer aad;
};

/*
 * One cipher's messages. An update writes at most in_len + block size bytes
 * and a final at most block size, which is what out_size says; on failure they
 * wipe what they wrote and the message is void. why is filled where a reason
 * needs more than the key's name.
 */
struct kmse_cipher_kind {
    size_t ctx_len;
    /*
     * Messages come and go in one call, by functions of the cipher's own: a
     * context has nothing of one and can be copied at any time. What follows
     * is NULL then.
     */
    bool is_whole;
    kmse_st (*parse_header)(struct kmse_header *header, const uint8_t *in,
                            size_t in_len);

    /* The lease is bound, and nonce was never used with its data key. */
    kmse_st (*seal_start)(struct kmse_cipher_ctx *ctx,
                          const uint8_t nonce[KMSE_NONCE_LEN]);
    kmse_st (*seal_aad)(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                        size_t aad_len);
    kmse_st (*seal_update)(struct kmse_cipher_ctx *ctx, uint8_t *out,
                           size_t out_size, size_t *out_len, const uint8_t *in,
                           size_t in_len, struct kmse_why *why);
    kmse_st (*seal_final)(struct kmse_cipher_ctx *ctx, uint8_t *out,
                          size_t out_size, size_t *out_len);
    /* Before anything is written: can a message of in_len bytes be made? */
    kmse_st (*seal_whole_check)(size_t in_len, size_t out_size,
                                struct kmse_why *why);

    /* The lease is bound, ctx->header whole, and the AAD all there. */
    kmse_st (*open_start)(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                          size_t aad_len);
    /* What comes after the header. */
    kmse_st (*open_update)(struct kmse_cipher_ctx *ctx, uint8_t *out,
                           size_t out_size, size_t *out_len, const uint8_t *in,
                           size_t in_len, struct kmse_why *why);
    kmse_st (*open_final)(struct kmse_cipher_ctx *ctx, uint8_t *out,
                          size_t out_size, size_t *out_len,
                          struct kmse_why *why);
    /* A message in one call, header and all: verified before it is written. */
    kmse_st (*open_whole)(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                          size_t aad_len, uint8_t *out, size_t out_size,
                          size_t *out_len, const uint8_t *in, size_t in_len,
                          struct kmse_why *why);

    /*
     * copy is ctx, byte for byte, with a lease and AAD of its own: part what
     * it still shares. Only for a message being read, with its key bound.
     */
    kmse_st (*copy_open)(struct kmse_cipher_ctx *copy,
                         const struct kmse_cipher_ctx *ctx);
    /* Before copy_open, and for every copy: forget what would be shared. */
    void (*disown)(struct kmse_cipher_ctx *copy); /* or NULL */
    /* Free and wipe the cipher's own part. */
    void (*wipe)(struct kmse_cipher_ctx *ctx); /* or NULL */
};

/* cipher_ctx.c. newctx is each cipher's own, with its kind. */
void *kmse_cipher_newctx(struct kmse_provctx *provctx,
                         const struct kmse_cipher_kind *kind);
OSSL_FUNC_cipher_freectx_fn kmse_cipher_freectx;
OSSL_FUNC_cipher_dupctx_fn kmse_cipher_dupctx;
OSSL_FUNC_cipher_encrypt_init_fn kmse_cipher_encrypt_init;
OSSL_FUNC_cipher_decrypt_init_fn kmse_cipher_decrypt_init;

/* cipher_call.c */
OSSL_FUNC_cipher_update_fn kmse_cipher_update;
OSSL_FUNC_cipher_final_fn kmse_cipher_final;
OSSL_FUNC_cipher_cipher_fn kmse_cipher_one_call;
/* st; of a format that is another's, why says of whose. */
kmse_st kmse_cipher_explain_header(kmse_st st, uint8_t format,
                                   struct kmse_why *why) KMSE_MUST_CHECK;
/* KMSE_R_STATE unless the context was initialised and its message goes on. */
kmse_st kmse_cipher_check_takes_data(const struct kmse_cipher_ctx *ctx,
                                     struct kmse_why *why) KMSE_MUST_CHECK;

/* Raise, poison the context and return 0. */
int kmse_cipher_fail(struct kmse_cipher_ctx *ctx, kmse_st st,
                     const struct kmse_why *why, const char *file, int line,
                     const char *function);
#define CIPHER_FAIL(ctx, st, why)                                              \
    kmse_cipher_fail((ctx), (st), (why), __FILE__, __LINE__, __func__)

/* cipher_skey.c. For every cipher that has the two inits above. */
OSSL_FUNC_cipher_encrypt_skey_init_fn kmse_cipher_encrypt_skey_init;
OSSL_FUNC_cipher_decrypt_skey_init_fn kmse_cipher_decrypt_skey_init;

/* cipher_params.c */
OSSL_FUNC_cipher_get_params_fn kmse_cipher_get_params;
OSSL_FUNC_cipher_gettable_params_fn kmse_cipher_gettable_params;
OSSL_FUNC_cipher_get_ctx_params_fn kmse_cipher_get_ctx_params;
OSSL_FUNC_cipher_gettable_ctx_params_fn kmse_cipher_gettable_ctx_params;
OSSL_FUNC_cipher_set_ctx_params_fn kmse_cipher_set_ctx_params;
OSSL_FUNC_cipher_settable_ctx_params_fn kmse_cipher_settable_ctx_params;

/* What the dispatch table of each of them has: a key is the same for all. */
#define KMSE_CIPHER_SHARED_FUNCTIONS                                           \
    {OSSL_FUNC_CIPHER_FREECTX, (void (*)(void))kmse_cipher_freectx},           \
        {OSSL_FUNC_CIPHER_DUPCTX, (void (*)(void))kmse_cipher_dupctx},         \
        {OSSL_FUNC_CIPHER_ENCRYPT_INIT,                                        \
         (void (*)(void))kmse_cipher_encrypt_init},                            \
        {OSSL_FUNC_CIPHER_DECRYPT_INIT,                                        \
         (void (*)(void))kmse_cipher_decrypt_init},                            \
        {OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT,                                   \
         (void (*)(void))kmse_cipher_encrypt_skey_init},                       \
        {OSSL_FUNC_CIPHER_DECRYPT_SKEY_INIT,                                   \
         (void (*)(void))kmse_cipher_decrypt_skey_init},                       \
        {OSSL_FUNC_CIPHER_GET_PARAMS, (void (*)(void))kmse_cipher_get_params}, \
        {OSSL_FUNC_CIPHER_GETTABLE_PARAMS,                                     \
         (void (*)(void))kmse_cipher_gettable_params},                         \
        {OSSL_FUNC_CIPHER_GET_CTX_PARAMS,                                      \
         (void (*)(void))kmse_cipher_get_ctx_params},                          \
        {OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS,                                 \
         (void (*)(void))kmse_cipher_gettable_ctx_params},                     \
        {OSSL_FUNC_CIPHER_SET_CTX_PARAMS,                                      \
         (void (*)(void))kmse_cipher_set_ctx_params},                          \
    {                                                                          \
        OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS,                                  \
            (void (*)(void))kmse_cipher_settable_ctx_params                    \
    }

#endif
