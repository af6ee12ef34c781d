/* SPDX-License-Identifier: Apache-2.0 */
/* A row from an older version to the newest, proved before it is written. */
#include "table/reencrypt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "envelope/open.h"
#include "envelope/seal.h"

struct worker {
    const struct kmse_reencrypt *job;
    enum kmse_encoding encoding;
    struct kmse_template aad_template;
    struct kmse_key *key;
    struct kmse_lease *seal, *open_old, *open_new;
    struct kmse_scratch message, plaintext, sealed, proof, aad;
};

/* --- a worker ----------------------------------------------------------- */

static kmse_st choose_encoding(struct worker *w, const struct kmse_table *table,
                               struct kmse_why *why)
{
    w->encoding = w->job->encoding;
    if (w->encoding == KMSE_ENCODING_AUTO)
        w->encoding =
            table->is_binary ? KMSE_ENCODING_BINARY : KMSE_ENCODING_BASE64;
    return kmse_template_parse(&w->aad_template, w->job->aad, table, why);
}

kmse_st kmse_reencrypt_begin(void **worker, void *arg,
                             const struct kmse_table *table,
                             struct kmse_why *why)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    w->job = arg;
    kmse_st st = choose_encoding(w, table, why);
    if (kmse_is_ok(st))
        st = kmse_ring_find(w->job->ring, w->job->key, &w->key, why);
    if (!kmse_is_ok(st)) {
        kmse_reencrypt_end(w);
        return st;
    }
    *worker = w;
    return KMSE_OK;
}

void kmse_reencrypt_end(void *worker)
{
    struct worker *w = worker;
    kmse_lease_give_back(&w->seal);
    kmse_lease_give_back(&w->open_old);
    kmse_lease_give_back(&w->open_new);
    kmse_template_wipe(&w->aad_template);
    kmse_scratch_wipe(&w->message);
    kmse_scratch_wipe(&w->plaintext);
    kmse_scratch_wipe(&w->sealed);
    kmse_scratch_wipe(&w->proof);
    kmse_scratch_wipe(&w->aad);
    free(w);
}

/* --- opening and sealing ------------------------------------------------ */

/* What is wrong with one row says nothing about the next. */
static bool is_of_row(kmse_st st)
{
    switch (st.reason) {
    case KMSE_R_ENCODING:
    case KMSE_R_HEADER_SHORT:
    case KMSE_R_FORMAT_UNKNOWN:
    case KMSE_R_KEY_VERSION:
    case KMSE_R_MESSAGE_SHORT:
    case KMSE_R_TAG_MISMATCH:
    case KMSE_R_KEY_VERSION_UNKNOWN:
    case KMSE_R_KEY_VERSION_RETIRED:
    case KMSE_R_KEY_VERSION_DESTROYED:
    case KMSE_R_KEY_VERSION_REVOKED:
        return true;
    default:
        return false;
    }
}

static kmse_st open_message(struct worker *w, struct kmse_lease **lease,
                            struct kmse_scratch *plaintext, const uint8_t *in,
                            size_t in_len, struct kmse_why *why)
{
    struct kmse_header header;
    KMSE_TRY(kmse_header_parse(&header, in, in_len));
    KMSE_TRY(kmse_lease_version(lease, w->key, header.key_version, why));
    if (in_len < KMSE_OVERHEAD)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    KMSE_TRY(kmse_scratch_reserve(plaintext, in_len));
    return kmse_open_whole((*lease)->gcm, (*lease)->datakey->id, w->aad.bytes,
                           w->aad.len, plaintext->bytes, plaintext->size,
                           &plaintext->len, in, in_len);
}

static kmse_st seal_message(struct worker *w, struct kmse_why *why)
{
    uint8_t nonce[KMSE_NONCE_LEN];
    struct kmse_seal seal;
    size_t body_len = 0, tail_len = 0;
    const struct kmse_datakey *datakey = w->seal->datakey;
    struct kmse_scratch *out = &w->sealed;
    KMSE_TRY(kmse_scratch_reserve(out, w->plaintext.len + KMSE_OVERHEAD));
    KMSE_TRY(kmse_lease_take_nonce(w->seal, nonce, why));
    KMSE_TRY(kmse_lease_take_bytes(w->seal, w->plaintext.len, why));
    KMSE_TRY(kmse_seal_start(&seal, w->seal->gcm, datakey->id, datakey->version,
                             nonce));
    KMSE_TRY(kmse_seal_aad(&seal, w->aad.bytes, w->aad.len));
    if (w->plaintext.len > 0)
        KMSE_TRY(kmse_seal_update(&seal, out->bytes, out->size, &body_len,
                                  w->plaintext.bytes, w->plaintext.len));
    KMSE_TRY(kmse_seal_final(&seal, out->bytes + body_len, out->size - body_len,
                             &tail_len));
    out->len = body_len + tail_len;
    return KMSE_OK;
}

/* Nothing is written that was not opened again. */
static kmse_st prove(struct worker *w, struct kmse_why *why)
{
    kmse_st st = open_message(w, &w->open_new, &w->proof, w->sealed.bytes,
                              w->sealed.len, why);
    bool is_same =
        kmse_is_ok(st) && w->proof.len == w->plaintext.len
        && CRYPTO_memcmp(w->proof.bytes, w->plaintext.bytes, w->plaintext.len)
               == 0;
    if (kmse_is_ok(st) && !is_same)
        st = KMSE_ERR(KMSE_R_INTERNAL);
    if (st.reason == KMSE_R_INTERNAL || st.reason == KMSE_R_TAG_MISMATCH)
        return kmse_fail(why, KMSE_R_INTERNAL,
                         "a message of the newest version did not open as what "
                         "was sealed: nothing of its batch is written");
    return st;
}

/* --- a row -------------------------------------------------------------- */

static kmse_st put_fresh(struct worker *w, struct kmse_rows *rows,
                         struct kmse_row *row)
{
    size_t len = kmse_encoding_encoded_len(w->encoding, w->sealed.len);
    KMSE_TRY(kmse_rows_reserve(rows, &row->fresh, len));
    kmse_encoding_encode(w->encoding, kmse_rows_edit(rows, &row->fresh),
                         w->sealed.bytes, w->sealed.len,
                         kmse_rows_at(rows, &row->old), row->old.len);
    row->state = KMSE_ROW_WRITE;
    return KMSE_OK;
}

static kmse_st reseal(struct worker *w, struct kmse_rows *rows,
                      struct kmse_row *row, struct kmse_why *why)
{
    if (w->job->mode != KMSE_REENCRYPT_WRITE) {
        row->state = KMSE_ROW_OLDER;
        return KMSE_OK;
    }
    KMSE_TRY(seal_message(w, why));
    KMSE_TRY(prove(w, why));
    return put_fresh(w, rows, row);
}

static kmse_st decode(struct worker *w, const struct kmse_rows *rows,
                      const struct kmse_row *row)
{
    size_t most = kmse_encoding_decoded_max(w->encoding, row->old.len);
    KMSE_TRY(kmse_scratch_reserve(&w->message, most));
    return kmse_encoding_decode(w->encoding, w->message.bytes, &w->message.len,
                                kmse_rows_at(rows, &row->old), row->old.len);
}

static kmse_st process_foreign(struct worker *w, struct kmse_rows *rows,
                               struct kmse_row *row, struct kmse_why *why)
{
    const struct kmse_foreign *foreign = w->job->foreign;
    bool is_known = false;
    row->state = KMSE_ROW_FOREIGN;
    if (foreign == NULL || !kmse_is_ok(decode(w, rows, row)))
        return KMSE_OK;
    KMSE_TRY(foreign->open(foreign->arg, &is_known, &w->plaintext,
                           w->message.bytes, w->message.len, why));
    if (!is_known)
        return KMSE_OK;
    return reseal(w, rows, row, why);
}

static kmse_st process_ours(struct worker *w, struct kmse_rows *rows,
                            struct kmse_row *row, uint32_t version,
                            struct kmse_why *why)
{
    /* Never back to an older one: a newer may come while we look. */
    bool is_newest = version >= w->seal->datakey->version;
    if (version == w->seal->datakey->version
        && w->job->mode != KMSE_REENCRYPT_VERIFY) {
        row->state = KMSE_ROW_NEWEST;
        return KMSE_OK;
    }
    KMSE_TRY(decode(w, rows, row));
    KMSE_TRY(open_message(w, &w->open_old, &w->plaintext, w->message.bytes,
                          w->message.len, why));
    if (is_newest) {
        row->state = KMSE_ROW_NEWEST;
        return KMSE_OK;
    }
    return reseal(w, rows, row, why);
}

static kmse_st process_row(struct worker *w, struct kmse_rows *rows,
                           struct kmse_row *row, struct kmse_why *why)
{
    uint32_t version = kmse_encoding_version(
        w->encoding, kmse_rows_at(rows, &row->old), row->old.len);
    /* Each time: the policy and the clock may end what was allowed before. */
    KMSE_TRY(kmse_lease_newest(&w->seal, w->key, why));
    KMSE_TRY(kmse_template_render(&w->aad_template, &w->aad, rows, row));
    if (version == 0)
        return process_foreign(w, rows, row, why);
    kmse_st st = process_ours(w, rows, row, version, why);
    if (!is_of_row(st))
        return st;
    row->state = KMSE_ROW_UNREADABLE;
    row->reason = st.reason;
    return KMSE_OK;
}

kmse_st kmse_reencrypt_process(void *worker, struct kmse_rows *rows,
                               struct kmse_why *why)
{
    struct worker *w = worker;
    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < rows->count && kmse_is_ok(st); i++) {
        if (rows->list[i].state == KMSE_ROW_READ)
            st = process_row(w, rows, &rows->list[i], why);
    }
    return st;
}
