/* SPDX-License-Identifier: Apache-2.0 */
/* A context's key: named, found and leased, the same for all algorithms. */
#include "glue/binding.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/params.h>

#include "glue/error.h"
#include "glue/legacy.h"
#include "keyring/keyfile.h"
#include "kms_envelope/params.h"

/* --- life --------------------------------------------------------------- */

static kmse_st find_ring(struct kmse_binding *binding, struct kmse_ring *ring,
                         struct kmse_why *why)
{
    if (ring == NULL) {
        ring = kmse_legacy_acquire_ring();
        binding->ring_is_owned = true;
    }
    if (ring == NULL)
        return kmse_fail(why, KMSE_R_STATE, "the provider was unloaded");
    binding->ring = ring;
    return kmse_ring_ready(ring);
}

kmse_st kmse_binding_init(struct kmse_binding *binding,
                          struct kmse_provctx *provctx)
{
    struct kmse_why why = {""};
    *binding = (struct kmse_binding){.core = &provctx->core};
    kmse_st st = find_ring(binding, provctx->ring, &why);
    kmse_raise(binding->core, st, &why);
    return st;
}

void kmse_binding_wipe(struct kmse_binding *binding)
{
    kmse_lease_give_back(&binding->lease);
    if (binding->ring_is_owned)
        kmse_ring_release(binding->ring); /* may be NULL */
}

void kmse_binding_copy(struct kmse_binding *copy,
                       const struct kmse_binding *binding)
{
    *copy = *binding;
    copy->lease = NULL;
    if (copy->ring_is_owned)
        kmse_ring_acquire(copy->ring);
}

/* --- which key ---------------------------------------------------------- */

/* Which was confined by a key that is not the one any more. */
static void forget_version_of_key(struct kmse_binding *binding)
{
    if (binding->version_is_keys)
        binding->wanted_version = 0;
    binding->version_is_keys = false;
}

/* 0 leaves what a parameter says. */
static void confine(struct kmse_binding *binding, uint32_t version)
{
    if (version == 0)
        return;
    binding->wanted_version = version;
    binding->version_is_keys = true;
}

void kmse_binding_set_name(struct kmse_binding *binding, const char *name)
{
    forget_version_of_key(binding);
    if (strcmp(binding->key_name, name) == 0)
        return;
    snprintf(binding->key_name, sizeof(binding->key_name), "%s", name);
    binding->key = NULL;
}

void kmse_binding_use(struct kmse_binding *binding, struct kmse_key *key,
                      uint32_t version)
{
    forget_version_of_key(binding);
    snprintf(binding->key_name, sizeof(binding->key_name), "%s",
             kmse_key_name(key));
    binding->key = key;
    confine(binding, version);
}

/* What the bytes of a key say. */
struct named {
    char name[KMSE_KEY_NAME_MAX + 1];
    uint32_t version; /* 0: none */
};

/* 1 to KMSE_VERSION_MAX, in digits as they are printed; else 0. */
static uint32_t read_version(const char *digits, size_t len)
{
    enum { TEN = 10, LONGEST = 8 };
    uint32_t version = 0;
    if (len == 0 || len > LONGEST || digits[0] == '0')
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return 0;
        version = version * TEN + (uint32_t)(digits[i] - '0');
    }
    return version <= KMSE_VERSION_MAX ? version : 0;
}

/* NAME, NAME/VERSION or nothing; text[len] is NUL. */
static bool read_name(struct named *named, const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len);
    size_t name_len = slash != NULL ? (size_t)(slash - text) : len;
    memcpy(named->name, text, name_len);
    named->name[name_len] = '\0';
    named->version = 0;
    if (len == 0)
        return true;
    if (slash != NULL)
        named->version = read_version(slash + 1, len - name_len - 1);
    return kmse_key_name_is_valid(named->name)
           && (slash == NULL || named->version != 0);
}

static kmse_st read_key_bytes(struct named *named, const unsigned char *key,
                              size_t key_len, struct kmse_why *why)
{
    if (key_len == KMSE_DATA_KEY_LEN) {
        const char *text = (const char *)key;
        size_t len = strnlen(text, KMSE_DATA_KEY_LEN);
        size_t i = len;
        while (i < KMSE_DATA_KEY_LEN && key[i] == '\0')
            i++;
        if (i == KMSE_DATA_KEY_LEN && len <= KMSE_KEY_NAME_MAX
            && read_name(named, text, len))
            return KMSE_OK;
        OPENSSL_cleanse(named, sizeof(*named));
    }
    return kmse_fail(why, KMSE_R_KEY_NAME,
                     "the EVP key must be a key's name, padded with NUL to %d "
                     "bytes (zeros: the default key); with openssl enc, -K "
                     "and the name in hex, not a password",
                     KMSE_DATA_KEY_LEN);
}

kmse_st kmse_binding_set_key(struct kmse_binding *binding,
                             const unsigned char *key, size_t key_len,
                             struct kmse_why *why)
{
    struct named named;
    KMSE_TRY(read_key_bytes(&named, key, key_len, why));
    kmse_binding_set_name(binding, named.name);
    confine(binding, named.version);
    return KMSE_OK;
}

kmse_st kmse_binding_find_key(struct kmse_binding *binding,
                              struct kmse_why *why)
{
    if (binding->key != NULL)
        return KMSE_OK;
    return kmse_ring_find(binding->ring, binding->key_name, &binding->key, why);
}

kmse_st kmse_binding_check_version(const struct kmse_binding *binding,
                                   uint32_t version, struct kmse_why *why)
{
    if (binding->wanted_version == 0 || binding->wanted_version == version)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_VERSION,
                     "key %s: the message's version is %u, and key-version "
                     "asks for %u",
                     kmse_key_name(binding->key), version,
                     binding->wanted_version);
}

kmse_st kmse_binding_check_lease(const struct kmse_binding *binding,
                                 struct kmse_why *why)
{
    return binding->used_version != 0 ? kmse_lease_check(binding->lease, why)
                                      : KMSE_OK;
}

void kmse_binding_raise(const struct kmse_binding *binding, kmse_st st,
                        const struct kmse_why *why, const char *file, int line,
                        const char *function)
{
    struct kmse_why about = {""};
    if (why == NULL || why->text[0] == '\0') {
        /* The layers below know no names. */
        const char *name = binding->key != NULL ? kmse_key_name(binding->key)
                                                : binding->key_name;
        if (binding->used_version != 0)
            snprintf(about.text, sizeof(about.text), "key %s, version %u", name,
                     binding->used_version);
        else if (name[0] != '\0')
            snprintf(about.text, sizeof(about.text), "key %s", name);
        why = &about;
    }
    kmse_raise_at(binding->core, st, why, file, line, function);
}

/* --- parameters --------------------------------------------------------- */

static const char *name_in_use(const struct kmse_binding *binding)
{
    if (binding->key_name[0] != '\0')
        return binding->key_name;
    const char *name = kmse_ring_get_options(binding->ring)->default_key;
    return name != NULL ? name : "";
}

int kmse_binding_get_params(const struct kmse_binding *binding,
                            OSSL_PARAM params[])
{
    OSSL_PARAM *name = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_NAME);
    OSSL_PARAM *version = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_VERSION);
    return (name == NULL
            || OSSL_PARAM_set_utf8_string(name, name_in_use(binding)))
           && (version == NULL
               || OSSL_PARAM_set_uint(version, binding->used_version));
}

/* Once a message is under way its key stands: STATE. */
static kmse_st check_between_messages(bool in_message, const char *param,
                                      struct kmse_why *why)
{
    if (in_message)
        return kmse_fail(why, KMSE_R_STATE, "%s cannot change within a message",
                         param);
    return KMSE_OK;
}

static kmse_st set_key_name(struct kmse_binding *binding,
                            const OSSL_PARAM *param, struct kmse_why *why)
{
    char name[KMSE_KEY_NAME_MAX + 1] = "";
    char *target = name;
    if (!OSSL_PARAM_get_utf8_string(param, &target, sizeof(name))
        || (name[0] != '\0' && !kmse_key_name_is_valid(name)))
        return kmse_fail(why, KMSE_R_KEY_NAME,
                         "%s: not a key's name ([a-z0-9._-], at most %d)",
                         KMSE_PARAM_KEY_NAME, KMSE_KEY_NAME_MAX);
    kmse_binding_set_name(binding, name);
    return KMSE_OK;
}

static kmse_st set_key_version(struct kmse_binding *binding,
                               const OSSL_PARAM *param, struct kmse_why *why)
{
    unsigned version = 0;
    if (!OSSL_PARAM_get_uint(param, &version) || version > KMSE_VERSION_MAX)
        return kmse_fail(why, KMSE_R_KEY_VERSION,
                         "%s: a number from 0 (any) to %u",
                         KMSE_PARAM_KEY_VERSION, KMSE_VERSION_MAX);
    binding->wanted_version = version;
    binding->version_is_keys = false;
    return KMSE_OK;
}

kmse_st kmse_binding_set_params(struct kmse_binding *binding,
                                const OSSL_PARAM params[], bool in_message,
                                struct kmse_why *why)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, KMSE_PARAM_KEY_NAME);
    if (p != NULL) {
        KMSE_TRY(check_between_messages(in_message, KMSE_PARAM_KEY_NAME, why));
        KMSE_TRY(set_key_name(binding, p, why));
    }
    p = OSSL_PARAM_locate_const(params, KMSE_PARAM_KEY_VERSION);
    if (p != NULL) {
        KMSE_TRY(
            check_between_messages(in_message, KMSE_PARAM_KEY_VERSION, why));
        KMSE_TRY(set_key_version(binding, p, why));
    }
    return KMSE_OK;
}
