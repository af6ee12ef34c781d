/* SPDX-License-Identifier: Apache-2.0 */
/* What can be read of an EVP_PKEY, and carried to another: public facts. */
#include "glue/keymgmt.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "glue/error.h"
#include "glue/pkey.h"
#include "kms_envelope/params.h"

/* AES-256, whatever the size of the message. */
enum { KEY_BITS = 256 };
static_assert(KMSE_PKEY_MAX_SIZE <= INT_MAX / 10,
              "openssl pkeyutl reads ten times that, as an int");

struct facts {
    char name[KMSE_KEY_NAME_MAX + 1];
    unsigned version; /* confined to, or 0 */
    uint8_t id[KMSE_KEY_ID_LEN];
    unsigned newest, current, versions, active;
    int copies;
};

/* --- reading ------------------------------------------------------------ */

static unsigned count_active(const struct kmse_keyfile *file)
{
    unsigned active = 0;
    for (size_t i = 0; i < file->version_count; i++)
        active += file->versions[i].state == KMSE_VERSION_ACTIVE;
    return active;
}

static void read_file(struct facts *facts, const struct kmse_pkey *pkey,
                      const struct kmse_keyfile *file)
{
    const struct kmse_clock *clock =
        kmse_ring_rotation(pkey->provctx->ring).clock;
    const struct kmse_version *current =
        kmse_keyfile_current(file, clock->wall_s(clock->arg));
    facts->newest = kmse_keyfile_newest(file)->number;
    facts->current = current != NULL ? current->number : 0;
    facts->versions = (unsigned)file->version_count;
    facts->active = count_active(file);
}

static kmse_st read_facts(struct facts *facts, struct kmse_pkey *pkey,
                          struct kmse_why *why)
{
    struct kmse_snapshot *snapshot = NULL;
    KMSE_TRY(kmse_pkey_snapshot(pkey, &snapshot, why));
    *facts = (struct facts){.version = pkey->reference.version,
                            .copies = pkey->reference.with_copies};
    memcpy(facts->name, pkey->reference.name, sizeof(facts->name));
    memcpy(facts->id, pkey->id, sizeof(facts->id));
    read_file(facts, pkey, kmse_snapshot_file(snapshot));
    kmse_snapshot_release(snapshot);
    return KMSE_OK;
}

/* What asks for no file: OpenSSL reads these of every key that it meets. */
#define SIZES                                                                  \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),                                \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),                   \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL)
#define IDENTITY                                                               \
    OSSL_PARAM_utf8_string(KMSE_PARAM_KEY_NAME, NULL, 0),                      \
        OSSL_PARAM_uint(KMSE_PARAM_KEY_VERSION, NULL),                         \
        OSSL_PARAM_octet_string(KMSE_PARAM_KEY_ID, NULL, 0)
#define FACTS                                                                  \
    OSSL_PARAM_uint(KMSE_PARAM_NEWEST_VERSION, NULL),                          \
        OSSL_PARAM_uint(KMSE_PARAM_CURRENT_VERSION, NULL),                     \
        OSSL_PARAM_uint(KMSE_PARAM_VERSIONS, NULL),                            \
        OSSL_PARAM_uint(KMSE_PARAM_ACTIVE_VERSIONS, NULL),                     \
        OSSL_PARAM_int(KMSE_PARAM_COPIES, NULL)

static const OSSL_PARAM GETTABLE_PARAMS[] = {SIZES, IDENTITY, FACTS,
                                             OSSL_PARAM_END};

const OSSL_PARAM *kmse_keymgmt_gettable_params(void *provctx)
{
    (void)provctx;
    return GETTABLE_PARAMS;
}

static int set_int(OSSL_PARAM params[], const char *key, int value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, key);
    return param == NULL || OSSL_PARAM_set_int(param, value);
}

static int set_uint(OSSL_PARAM params[], const char *key, unsigned value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, key);
    return param == NULL || OSSL_PARAM_set_uint(param, value);
}

static int set_sizes(OSSL_PARAM params[])
{
    return set_int(params, OSSL_PKEY_PARAM_BITS, KEY_BITS)
           && set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, KEY_BITS)
           && set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, KMSE_PKEY_MAX_SIZE);
}

static int set_facts(OSSL_PARAM params[], const struct facts *facts)
{
    OSSL_PARAM *name = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_NAME);
    OSSL_PARAM *id = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_ID);
    return (name == NULL || OSSL_PARAM_set_utf8_string(name, facts->name))
           && (id == NULL
               || OSSL_PARAM_set_octet_string(id, facts->id, sizeof(facts->id)))
           && set_uint(params, KMSE_PARAM_KEY_VERSION, facts->version)
           && set_uint(params, KMSE_PARAM_NEWEST_VERSION, facts->newest)
           && set_uint(params, KMSE_PARAM_CURRENT_VERSION, facts->current)
           && set_uint(params, KMSE_PARAM_VERSIONS, facts->versions)
           && set_uint(params, KMSE_PARAM_ACTIVE_VERSIONS, facts->active)
           && set_int(params, KMSE_PARAM_COPIES, facts->copies);
}

static bool asks_for_facts(const OSSL_PARAM params[])
{
    static const char *const FACT_NAMES[] = {
        KMSE_PARAM_KEY_NAME,        KMSE_PARAM_KEY_VERSION,
        KMSE_PARAM_KEY_ID,          KMSE_PARAM_NEWEST_VERSION,
        KMSE_PARAM_CURRENT_VERSION, KMSE_PARAM_VERSIONS,
        KMSE_PARAM_ACTIVE_VERSIONS, KMSE_PARAM_COPIES,
    };
    for (size_t i = 0; i < sizeof(FACT_NAMES) / sizeof(FACT_NAMES[0]); i++) {
        if (OSSL_PARAM_locate_const(params, FACT_NAMES[i]) != NULL)
            return true;
    }
    return false;
}

int kmse_keymgmt_get_params(void *keydata, OSSL_PARAM params[])
{
    struct kmse_pkey *pkey = keydata;
    struct kmse_why why = {""};
    struct facts facts;
    if (!set_sizes(params))
        return 0;
    if (!asks_for_facts(params))
        return 1;
    kmse_st st = read_facts(&facts, pkey, &why);
    return kmse_is_ok(st) ? set_facts(params, &facts)
                          : kmse_pkey_fail(pkey, st, &why);
}

/* --- carrying over ------------------------------------------------------ */

static const OSSL_PARAM EXPORTED[] = {IDENTITY, FACTS, OSSL_PARAM_END};
static const OSSL_PARAM IMPORTED[] = {IDENTITY, OSSL_PARAM_END};

static bool asks_for_secrets(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

const OSSL_PARAM *kmse_keymgmt_export_types(int selection)
{
    return asks_for_secrets(selection) ? NULL : EXPORTED;
}

const OSSL_PARAM *kmse_keymgmt_import_types(int selection)
{
    (void)selection;
    return IMPORTED;
}

static int give_facts(struct facts *facts, OSSL_CALLBACK *callback, void *arg)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, facts->name, 0),
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &facts->version),
        OSSL_PARAM_construct_octet_string(KMSE_PARAM_KEY_ID, facts->id,
                                          sizeof(facts->id)),
        OSSL_PARAM_construct_uint(KMSE_PARAM_NEWEST_VERSION, &facts->newest),
        OSSL_PARAM_construct_uint(KMSE_PARAM_CURRENT_VERSION, &facts->current),
        OSSL_PARAM_construct_uint(KMSE_PARAM_VERSIONS, &facts->versions),
        OSSL_PARAM_construct_uint(KMSE_PARAM_ACTIVE_VERSIONS, &facts->active),
        OSSL_PARAM_construct_int(KMSE_PARAM_COPIES, &facts->copies),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

int kmse_keymgmt_export(void *keydata, int selection, OSSL_CALLBACK *callback,
                        void *arg)
{
    struct kmse_pkey *pkey = keydata;
    struct kmse_why why = {""};
    struct facts facts;
    kmse_st st =
        asks_for_secrets(selection)
            ? kmse_fail(&why, KMSE_R_PARAMETER,
                        "key %s: an EVP_PKEY of " KMSE_PKEY_NAME
                        " refers to a key; it holds no secret and gives none",
                        pkey->reference.name)
            : read_facts(&facts, pkey, &why);
    return kmse_is_ok(st) ? give_facts(&facts, callback, arg)
                          : kmse_pkey_fail(pkey, st, &why);
}

static kmse_st read_reference(struct kmse_reference *reference,
                              const OSSL_PARAM params[], struct kmse_why *why)
{
    const OSSL_PARAM *name =
        OSSL_PARAM_locate_const(params, KMSE_PARAM_KEY_NAME);
    const OSSL_PARAM *version =
        OSSL_PARAM_locate_const(params, KMSE_PARAM_KEY_VERSION);
    char *target = reference->name;
    if (name == NULL
        || !OSSL_PARAM_get_utf8_string(name, &target, sizeof(reference->name)))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "%s: a key's name ([a-z0-9._-], at most %d)",
                         KMSE_PARAM_KEY_NAME, KMSE_KEY_NAME_MAX);
    unsigned number = 0;
    if (version != NULL
        && (!OSSL_PARAM_get_uint(version, &number)
            || number > KMSE_VERSION_MAX))
        return kmse_fail(why, KMSE_R_KEY_VERSION,
                         "%s: a number from 0 (any) to %u",
                         KMSE_PARAM_KEY_VERSION, KMSE_VERSION_MAX);
    reference->version = number;
    return KMSE_OK;
}

/* Of facts from elsewhere: is it the same key here? */
static kmse_st check_imported_id(const struct kmse_pkey *pkey,
                                 const OSSL_PARAM params[],
                                 struct kmse_why *why)
{
    const OSSL_PARAM *id = OSSL_PARAM_locate_const(params, KMSE_PARAM_KEY_ID);
    const void *bytes = NULL;
    size_t len = 0;
    if (id == NULL)
        return KMSE_OK;
    if (OSSL_PARAM_get_octet_string_ptr(id, &bytes, &len)
        && len == KMSE_KEY_ID_LEN && memcmp(bytes, pkey->id, len) == 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_NOT_FOUND,
                     "key %s: %s is not that of the key of that name here",
                     pkey->reference.name, KMSE_PARAM_KEY_ID);
}

int kmse_keymgmt_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct kmse_pkey *pkey = keydata;
    struct kmse_reference reference = {.name = ""};
    struct kmse_why why = {""};
    (void)selection;
    kmse_st st = read_reference(&reference, params, &why);
    if (kmse_is_ok(st))
        st = kmse_pkey_refer(pkey, &reference, &why);
    if (kmse_is_ok(st))
        st = check_imported_id(pkey, params, &why);
    return kmse_is_ok(st) ? 1 : kmse_pkey_fail(pkey, st, &why);
}
