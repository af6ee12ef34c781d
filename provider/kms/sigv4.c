/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Signature Version 4, step by step. */
#include "kms/sigv4.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/clock.h"

static const char ALGORITHM[] = "AWS4-HMAC-SHA256";
static const char KEY_PREFIX[] = "AWS4";
static const char TERMINATION[] = "aws4_request";

enum { DIGEST_HEX_LEN = 2 * KMSE_HMAC_LEN + 1 };

/* --- time --------------------------------------------------------------- */

/* The year has four digits. */
void kmse_sigv4_time_print(char out[KMSE_SIGV4_TIME_LEN], int64_t wall_s)
{
    static const int64_t LAST_S = 253402300799; /* 9999-12-31T23:59:59Z */
    int64_t clamped = wall_s < 0 ? 0 : wall_s > LAST_S ? LAST_S : wall_s;
    char text[KMSE_TIME_LEN];
    kmse_time_print(text, clamped);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '-' && *at != ':')
            *out++ = *at;
    }
    *out = '\0';
}

static void take_date(char out[KMSE_SIGV4_DATE_LEN],
                      const struct kmse_sigv4_scope *scope)
{
    memcpy(out, scope->time, KMSE_SIGV4_DATE_LEN - 1);
    out[KMSE_SIGV4_DATE_LEN - 1] = '\0';
}

/* --- headers ------------------------------------------------------------ */

struct sorted_headers {
    const struct kmse_sigv4_header *at[KMSE_SIGV4_HEADERS_MAX];
    size_t count;
};

static bool is_name(const char *name)
{
    return name[0] != '\0'
           && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")]
                  == '\0';
}

/* Printable ASCII: the end of a line in it would begin another header. */
static bool is_value(const char *value)
{
    while (*value >= ' ' && *value <= '~')
        value++;
    return *value == '\0';
}

/* What stands between "/" and "," in Authorization. */
static bool is_word(const char *word)
{
    return word[0] != '\0' && is_value(word)
           && word[strcspn(word, " ,/")] == '\0';
}

static kmse_st insert_header(struct sorted_headers *sorted,
                             const struct kmse_sigv4_header *header)
{
    if (sorted->count == KMSE_SIGV4_HEADERS_MAX || !is_name(header->name)
        || !is_value(header->value))
        return KMSE_ERR(KMSE_R_PARAMETER);
    size_t at = sorted->count++;
    for (; at > 0 && strcmp(sorted->at[at - 1]->name, header->name) > 0; at--)
        sorted->at[at] = sorted->at[at - 1];
    sorted->at[at] = header;
    if (at > 0 && strcmp(sorted->at[at - 1]->name, header->name) == 0)
        return KMSE_ERR(KMSE_R_PARAMETER);
    return KMSE_OK;
}

static kmse_st sort_headers(struct sorted_headers *sorted,
                            const struct kmse_sigv4_request *request)
{
    sorted->count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        KMSE_TRY(insert_header(sorted, &request->headers[i]));
    return KMSE_OK;
}

/* --- texts -------------------------------------------------------------- */

/* What the texts are made of; each takes what it needs. */
struct parts {
    const struct kmse_sigv4_request *request;
    const struct kmse_sigv4_scope *scope;
    const char *access_key_id;
    struct sorted_headers headers;
    char digest[DIGEST_HEX_LEN];
    char signature[KMSE_SIGV4_SIGNATURE_LEN];
};

/* bytes NULL: only counted. */
struct text {
    char *bytes;
    size_t len;
};

static void add_bytes(struct text *text, const char *bytes, size_t len)
{
    if (text->bytes != NULL)
        memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static void add(struct text *text, const char *more)
{
    add_bytes(text, more, strlen(more));
}

/* Twice, so that the memory is of the right size: growing leaves copies. */
static kmse_st
print(char **out, void (*add_to)(struct text *text, const struct parts *parts),
      const struct parts *parts)
{
    struct text text = {.bytes = NULL};
    add_to(&text, parts);
    text = (struct text){.bytes = malloc(text.len + 1)};
    if (text.bytes == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    add_to(&text, parts);
    text.bytes[text.len] = '\0';
    *out = text.bytes;
    return KMSE_OK;
}

/* Without spaces around it; several inside are one. */
static void add_trimmed(struct text *text, const char *value)
{
    value += strspn(value, " ");
    while (*value != '\0') {
        size_t len = strcspn(value, " ");
        add_bytes(text, value, len);
        value += len;
        value += strspn(value, " ");
        if (*value != '\0')
            add(text, " ");
    }
}

static void add_names(struct text *text, const struct sorted_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        add(text, i > 0 ? ";" : "");
        add(text, headers->at[i]->name);
    }
}

static void add_scope(struct text *text, const struct kmse_sigv4_scope *scope)
{
    char date[KMSE_SIGV4_DATE_LEN];
    take_date(date, scope);
    const char *const words[] = {date,           "/", scope->region, "/",
                                 scope->service, "/", TERMINATION};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        add(text, words[i]);
}

static void add_canonical_request(struct text *text, const struct parts *parts)
{
    const struct sorted_headers *headers = &parts->headers;
    add(text, parts->request->method);
    add(text, "\n/\n\n");
    for (size_t i = 0; i < headers->count; i++) {
        add(text, headers->at[i]->name);
        add(text, ":");
        add_trimmed(text, headers->at[i]->value);
        add(text, "\n");
    }
    add(text, "\n");
    add_names(text, headers);
    add(text, "\n");
    add(text, parts->digest);
}

static void add_string_to_sign(struct text *text, const struct parts *parts)
{
    add(text, ALGORITHM);
    add(text, "\n");
    add(text, parts->scope->time);
    add(text, "\n");
    add_scope(text, parts->scope);
    add(text, "\n");
    add(text, parts->digest);
}

static void add_authorization(struct text *text, const struct parts *parts)
{
    add(text, ALGORITHM);
    add(text, " Credential=");
    add(text, parts->access_key_id);
    add(text, "/");
    add_scope(text, parts->scope);
    add(text, ", SignedHeaders=");
    add_names(text, &parts->headers);
    add(text, ", Signature=");
    add(text, parts->signature);
}

/* --- the steps ---------------------------------------------------------- */

static kmse_st print_digest(char out[DIGEST_HEX_LEN],
                            struct kmse_crypto *crypto, const uint8_t *data,
                            size_t data_len)
{
    uint8_t digest[KMSE_HMAC_LEN];
    KMSE_TRY(kmse_crypto_sha256(crypto, digest, data, data_len));
    kmse_hex_encode(out, digest, sizeof(digest));
    return KMSE_OK;
}

static kmse_st mac_text(uint8_t out[KMSE_HMAC_LEN], struct kmse_crypto *crypto,
                        const uint8_t *key, size_t key_len, const char *text)
{
    return kmse_crypto_hmac(crypto, out, key, key_len, (const uint8_t *)text,
                            strlen(text));
}

kmse_st kmse_sigv4_canonical_request(char **canonical,
                                     struct kmse_crypto *crypto,
                                     const struct kmse_sigv4_request *request)
{
    struct parts parts = {.request = request};
    KMSE_TRY(sort_headers(&parts.headers, request));
    KMSE_TRY(
        print_digest(parts.digest, crypto, request->body, request->body_len));
    return print(canonical, add_canonical_request, &parts);
}

kmse_st kmse_sigv4_string_to_sign(char **text, struct kmse_crypto *crypto,
                                  const struct kmse_sigv4_scope *scope,
                                  const char *canonical)
{
    struct parts parts = {.scope = scope};
    KMSE_TRY(print_digest(parts.digest, crypto, (const uint8_t *)canonical,
                          strlen(canonical)));
    return print(text, add_string_to_sign, &parts);
}

/* HMAC of the date under "AWS4" and the secret. */
static kmse_st derive_first(uint8_t key[KMSE_HMAC_LEN],
                            struct kmse_crypto *crypto, const char *date,
                            const char *secret_access_key)
{
    size_t prefix_len = strlen(KEY_PREFIX), len = strlen(secret_access_key);
    uint8_t *secret = malloc(prefix_len + len);
    if (secret == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    memcpy(secret, KEY_PREFIX, prefix_len);
    memcpy(secret + prefix_len, secret_access_key, len);
    kmse_st st = mac_text(key, crypto, secret, prefix_len + len, date);
    OPENSSL_cleanse(secret, prefix_len + len);
    free(secret);
    return st;
}

static kmse_st derive_next(uint8_t key[KMSE_HMAC_LEN],
                           struct kmse_crypto *crypto, const char *word)
{
    uint8_t next[KMSE_HMAC_LEN];
    kmse_st st = mac_text(next, crypto, key, KMSE_HMAC_LEN, word);
    if (kmse_is_ok(st))
        memcpy(key, next, KMSE_HMAC_LEN);
    OPENSSL_cleanse(next, sizeof(next));
    return st;
}

kmse_st kmse_sigv4_signing_key(uint8_t key[KMSE_HMAC_LEN],
                               struct kmse_crypto *crypto,
                               const struct kmse_sigv4_scope *scope,
                               const char *secret_access_key)
{
    char date[KMSE_SIGV4_DATE_LEN];
    take_date(date, scope);
    kmse_st st = derive_first(key, crypto, date, secret_access_key);
    if (kmse_is_ok(st))
        st = derive_next(key, crypto, scope->region);
    if (kmse_is_ok(st))
        st = derive_next(key, crypto, scope->service);
    if (kmse_is_ok(st))
        st = derive_next(key, crypto, TERMINATION);
    if (!kmse_is_ok(st))
        OPENSSL_cleanse(key, KMSE_HMAC_LEN);
    return st;
}

kmse_st kmse_sigv4_signature(char signature[KMSE_SIGV4_SIGNATURE_LEN],
                             struct kmse_crypto *crypto,
                             const uint8_t key[KMSE_HMAC_LEN],
                             const char *string_to_sign)
{
    uint8_t mac[KMSE_HMAC_LEN];
    KMSE_TRY(mac_text(mac, crypto, key, KMSE_HMAC_LEN, string_to_sign));
    kmse_hex_encode(signature, mac, sizeof(mac));
    return KMSE_OK;
}

/* The canonical request quotes the headers, a session token among them. */
static kmse_st make_string_to_sign(char **text, struct kmse_crypto *crypto,
                                   const struct kmse_sigv4_request *request,
                                   const struct kmse_sigv4_scope *scope)
{
    char *canonical = NULL;
    KMSE_TRY(kmse_sigv4_canonical_request(&canonical, crypto, request));
    kmse_st st = kmse_sigv4_string_to_sign(text, crypto, scope, canonical);
    OPENSSL_cleanse(canonical, strlen(canonical));
    free(canonical);
    return st;
}

static kmse_st sign(char signature[KMSE_SIGV4_SIGNATURE_LEN],
                    struct kmse_crypto *crypto,
                    const struct kmse_sigv4_scope *scope,
                    const char *string_to_sign, const char *secret_access_key)
{
    uint8_t key[KMSE_HMAC_LEN];
    KMSE_TRY(kmse_sigv4_signing_key(key, crypto, scope, secret_access_key));
    kmse_st st = kmse_sigv4_signature(signature, crypto, key, string_to_sign);
    OPENSSL_cleanse(key, sizeof(key));
    return st;
}

kmse_st kmse_sigv4_authorization(char **value, struct kmse_crypto *crypto,
                                 const struct kmse_sigv4_request *request,
                                 const struct kmse_sigv4_scope *scope,
                                 const char *access_key_id,
                                 const char *secret_access_key)
{
    struct parts parts = {
        .request = request, .scope = scope, .access_key_id = access_key_id};
    char *string_to_sign = NULL;
    if (!is_word(access_key_id) || !is_word(scope->region)
        || !is_word(scope->service))
        return KMSE_ERR(KMSE_R_PARAMETER);
    KMSE_TRY(sort_headers(&parts.headers, request));
    KMSE_TRY(make_string_to_sign(&string_to_sign, crypto, request, scope));
    kmse_st st =
        sign(parts.signature, crypto, scope, string_to_sign, secret_access_key);
    free(string_to_sign);
    return kmse_is_ok(st) ? print(value, add_authorization, &parts) : st;
}
