/* SPDX-License-Identifier: Apache-2.0 */
/* What proves a key file and its data keys: commitment, MAC, unwrapping. */
#include "keyring/keyfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "keyring/failures.h"

kmse_st kmse_datakey_derive_long(uint8_t *out, size_t out_len,
                                 struct kmse_crypto *crypto,
                                 const struct kmse_secret *data_key,
                                 const char *label,
                                 const uint8_t id[KMSE_KEY_ID_LEN],
                                 uint32_t number)
{
    enum { LABEL_MAX = 64, NUMBER_LEN = 4 };
    uint8_t info[LABEL_MAX + KMSE_KEY_ID_LEN + NUMBER_LEN];
    size_t label_len = strlen(label);
    if (label_len > LABEL_MAX)
        return KMSE_ERR(KMSE_R_INTERNAL);
    memcpy(info, label, label_len);
    memcpy(info + label_len, id, KMSE_KEY_ID_LEN);
    kmse_store_be32(info + label_len + KMSE_KEY_ID_LEN, number);
    return kmse_crypto_hkdf(crypto, out, out_len, data_key->bytes,
                            KMSE_SECRET_LEN, info,
                            label_len + KMSE_KEY_ID_LEN + NUMBER_LEN);
}

kmse_st kmse_datakey_derive(uint8_t out[KMSE_SECRET_LEN],
                            struct kmse_crypto *crypto,
                            const struct kmse_secret *data_key,
                            const char *label,
                            const uint8_t id[KMSE_KEY_ID_LEN], uint32_t number)
{
    return kmse_datakey_derive_long(out, KMSE_SECRET_LEN, crypto, data_key,
                                    label, id, number);
}

kmse_st kmse_keyfile_commitment(uint8_t out[KMSE_HMAC_LEN],
                                struct kmse_crypto *crypto,
                                const uint8_t id[KMSE_KEY_ID_LEN],
                                uint32_t number,
                                const struct kmse_secret *data_key)
{
    return kmse_datakey_derive(out, crypto, data_key, KMSE_INFO_COMMITMENT, id,
                               number);
}

/* --- the text under the MAC: kms-envelope-keyfile(5) -------------------- */

/* What is not there has no line: files of older releases keep their MAC. */
static void print_end(FILE *out, const char *what, uint32_t number,
                      int64_t wall_s)
{
    char text[KMSE_TIME_LEN];
    if (wall_s == 0)
        return;
    kmse_time_print(text, wall_s);
    fprintf(out, "%s %u %s\n", what, number, text);
}

static void print_version(FILE *out, const struct kmse_version *version)
{
    char created[KMSE_TIME_LEN], active_from[KMSE_TIME_LEN];
    char commitment[2 * KMSE_HMAC_LEN + 1];
    kmse_time_print(created, version->created_s);
    kmse_time_print(active_from, version->active_from_s);
    kmse_hex_encode(commitment, version->commitment, KMSE_HMAC_LEN);
    fprintf(out, "version %u %s %s %s %s\n", version->number, created,
            active_from, kmse_version_state_name(version->state), commitment);
    print_end(out, "retired", version->number, version->retired_s);
    print_end(out, "destroyed", version->number, version->destroyed_s);
    print_end(out, "restored", version->number, version->restored_s);
}

static void print_census(FILE *out, const struct kmse_census_record *census)
{
    char taken[KMSE_TIME_LEN];
    kmse_time_print(taken, census->taken_s);
    fprintf(out, "census %s %zu:%s,%zu:%s, %" PRIu64, taken,
            strlen(census->scope), census->scope, strlen(census->tool),
            census->tool, census->other);
    for (size_t i = 0; i < census->found_count; i++)
        fprintf(out, " %" PRIu64, census->found[i]);
    fputc('\n', out);
}

static void print_seconds(FILE *out, const char *what, uint64_t seconds)
{
    if (seconds != 0)
        fprintf(out, "%s %" PRIu64 "\n", what, seconds);
}

static void print_text(FILE *out, const struct kmse_keyfile *file)
{
    char created[KMSE_TIME_LEN], id[2 * KMSE_KEY_ID_LEN + 1];
    kmse_time_print(created, file->created_s);
    kmse_hex_encode(id, file->id, KMSE_KEY_ID_LEN);
    fprintf(out, "kms-envelope key 1\nname %s\nid %s\ncreated %s\n", file->name,
            id, created);
    for (size_t i = 0; i < file->context.count; i++) {
        const struct kmse_kms_pair *pair = &file->context.pairs[i];
        fprintf(out, "context %zu:%s,%zu:%s,\n", strlen(pair->name), pair->name,
                strlen(pair->value), pair->value);
    }
    fprintf(out, "policy %" PRIu64 " %" PRIu64 "\n", file->policy.max_messages,
            file->policy.max_bytes);
    /* Files of releases that did not know them have no such lines. */
    print_seconds(out, "rotate-after", file->policy.rotate_after_s);
    print_seconds(out, "destroy-after", file->policy.destroy_after_s);
    print_seconds(out, "census-fence", file->policy.census_fence_s);
    for (size_t i = 0; i < file->version_count; i++)
        print_version(out, &file->versions[i]);
    for (size_t i = 0; i < file->census_count; i++)
        print_census(out, &file->censuses[i]);
}

kmse_st kmse_keyfile_mac(uint8_t out[KMSE_HMAC_LEN], struct kmse_crypto *crypto,
                         const struct kmse_keyfile *file,
                         const struct kmse_secret *newest)
{
    char *text = NULL;
    size_t text_len = 0;
    FILE *stream = open_memstream(&text, &text_len);
    if (stream == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    print_text(stream, file);
    if (fclose(stream) != 0) {
        free(text);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    uint8_t key[KMSE_SECRET_LEN];
    kmse_st st =
        kmse_datakey_derive(key, crypto, newest, KMSE_INFO_KEYFILE, file->id,
                            kmse_keyfile_newest(file)->number);
    if (kmse_is_ok(st))
        st = kmse_crypto_hmac(crypto, out, key, sizeof(key),
                              (const uint8_t *)text, text_len);
    OPENSSL_cleanse(key, sizeof(key));
    free(text);
    return st;
}

kmse_st kmse_keyfile_check_mac(struct kmse_crypto *crypto,
                               const struct kmse_keyfile *file,
                               const struct kmse_secret *newest,
                               struct kmse_why *why)
{
    uint8_t mac[KMSE_HMAC_LEN];
    KMSE_TRY(kmse_keyfile_mac(mac, crypto, file, newest));
    if (CRYPTO_memcmp(mac, file->mac, KMSE_HMAC_LEN) != 0)
        return kmse_fail(why, KMSE_R_KEYFILE_MAC,
                         "key %s: its file does not fit its MAC; restore the "
                         "file from a backup",
                         file->name);
    return KMSE_OK;
}

/* --- unwrapping --------------------------------------------------------- */

/* why does not name key and version: the callers do. */
static kmse_st unwrap_copy(struct kmse_secret *data_key, struct kmse_kms *kms,
                           struct kmse_crypto *crypto,
                           const struct kmse_keyfile *file,
                           const struct kmse_version *version,
                           const struct kmse_copy *copy, struct kmse_why *why)
{
    uint8_t commitment[KMSE_HMAC_LEN];
    KMSE_TRY(kmse_kms_unwrap(kms, copy->kms, &copy->context, &copy->blob,
                             data_key, why));
    kmse_st st = kmse_keyfile_commitment(commitment, crypto, file->id,
                                         version->number, data_key);
    if (kmse_is_ok(st)
        && CRYPTO_memcmp(commitment, version->commitment, KMSE_HMAC_LEN) != 0)
        st = kmse_fail(why, KMSE_R_COMMITMENT,
                       "what %.300s unwraps is not this version's data key; "
                       "restore the key file from a backup",
                       copy->kms);
    if (!kmse_is_ok(st))
        kmse_secret_wipe(data_key);
    return st;
}

kmse_st kmse_keyfile_unwrap(struct kmse_secret *data_key, struct kmse_kms *kms,
                            struct kmse_crypto *crypto,
                            const struct kmse_keyfile *file,
                            const struct kmse_version *version,
                            struct kmse_why *why)
{
    struct kmse_failures failures;
    if (version->copy_count == 0)
        return kmse_fail(why, KMSE_R_KEY_VERSION_DESTROYED,
                         "key %s, version %u", file->name, version->number);
    kmse_failures_init(&failures, version->copy_count, "key %s, version %u",
                       file->name, version->number);
    for (size_t i = 0; i < version->copy_count; i++) {
        struct kmse_why of_copy = {""};
        kmse_st st = unwrap_copy(data_key, kms, crypto, file, version,
                                 &version->copies[i], &of_copy);
        if (kmse_is_ok(st))
            return st;
        kmse_failures_add(&failures, st, &of_copy);
        if (st.reason == KMSE_R_INTERRUPTED)
            return kmse_fail(why, st.reason, "%s", failures.why.text);
    }
    return kmse_failures_tell(&failures, why);
}
