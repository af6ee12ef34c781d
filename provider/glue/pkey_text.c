/* SPDX-License-Identifier: Apache-2.0 */
/* "openssl pkey -text": a key for people. No KMS is asked. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/age.h"
#include "base/bytes.h"
#include "glue/encoder.h"
#include "glue/error.h"
#include "glue/output.h"
#include "kms_envelope/params.h"

static OSSL_FUNC_encoder_encode_fn encode_text;

enum { LINE_LEN = 256 };

struct page {
    const struct kmse_core *core;
    OSSL_CORE_BIO *out;
    int64_t now_s;
    kmse_st st; /* of the first line that could not be written */
};

static void put(struct page *page, const char *text)
{
    if (kmse_is_ok(page->st))
        page->st = kmse_output(page->core, page->out, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void
put_line(struct page *page, const char *format, ...)
{
    char line[LINE_LEN];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    put(page, line);
    put(page, "\n");
}

static void put_copies(struct page *page, const struct kmse_version *version)
{
    for (size_t i = 0; i < version->copy_count; i++) {
        put(page, "    master key: ");
        put(page, version->copies[i].kms);
        put(page, version->copies[i].adopted ? " (adopted)\n" : "\n");
    }
}

static void put_version(struct page *page, const struct kmse_keyfile *file,
                        const struct kmse_version *version)
{
    char created[KMSE_TIME_LEN], from[KMSE_TIME_LEN], age[KMSE_AGE_LEN];
    bool encrypts = version == kmse_keyfile_current(file, page->now_s);
    kmse_time_print(created, version->created_s);
    kmse_time_print(from, version->active_from_s);
    kmse_age_print(age, page->now_s - version->created_s);
    put_line(page, "Version %u: %s%s", (unsigned)version->number,
             kmse_version_state_at(version, page->now_s),
             encrypts ? ", encrypts" : "");
    put_line(page, "    created: %s (%s old)", created, age);
    put_line(page, "    active from: %s", from);
    put_copies(page, version);
}

static void put_key(struct page *page, const struct kmse_pkey *pkey,
                    const struct kmse_keyfile *file)
{
    char id[2 * KMSE_KEY_ID_LEN + 1], created[KMSE_TIME_LEN];
    kmse_hex_encode(id, file->id, KMSE_KEY_ID_LEN);
    kmse_time_print(created, file->created_s);
    put_line(page, "%s key: %s", KMSE_PKEY_NAME, file->name);
    put_line(page, "    id: %s", id);
    put_line(page, "    created: %s", created);
    if (pkey->reference.version != 0)
        put_line(page, "    confined to version: %u",
                 (unsigned)pkey->reference.version);
    for (size_t i = 0; i < file->version_count; i++)
        put_version(page, file, &file->versions[i]);
}

static kmse_st write_text(const struct kmse_provctx *provctx,
                          OSSL_CORE_BIO *out, struct kmse_pkey *pkey,
                          struct kmse_why *why)
{
    const struct kmse_clock *clock = kmse_ring_rotation(provctx->ring).clock;
    struct kmse_snapshot *snapshot = NULL;
    KMSE_TRY(kmse_pkey_snapshot(pkey, &snapshot, why));
    struct page page = {
        .core = &provctx->core,
        .out = out,
        .now_s = clock->wall_s(clock->arg),
    };
    put_key(&page, pkey, kmse_snapshot_file(snapshot));
    kmse_snapshot_release(snapshot);
    return page.st;
}

static int encode_text(void *ctx, OSSL_CORE_BIO *out, const void *object,
                       const OSSL_PARAM abstract[], int selection,
                       OSSL_PASSPHRASE_CALLBACK *passphrase, void *arg)
{
    struct kmse_pkey *pkey = kmse_encoder_pkey(object);
    struct kmse_why why = {""};
    (void)abstract;
    (void)selection;
    (void)passphrase;
    (void)arg;
    if (pkey == NULL)
        return 0;
    kmse_st st = write_text(ctx, out, pkey, &why);
    return kmse_is_ok(st) ? 1 : kmse_pkey_fail(pkey, st, &why);
}

const OSSL_DISPATCH kmse_text_encoder_functions[] = {
    {OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))kmse_encoder_newctx},
    {OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))kmse_encoder_freectx},
    {OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))encode_text},
    {0, NULL},
};
