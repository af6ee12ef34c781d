/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a local master key: its reader and its writer. */
#include "kms/local_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

static const char FORMAT[] = "kms-envelope local master key 1";
static const char *const MASTER_FIELDS[] = {"format", "id", "backing-keys"};
static const char *const BACKING_FIELDS[] = {"number", "created", "key"};
enum { FIELD_COUNT = 3, PRINTED_MAX = 256 };

kmse_st kmse_master_add(struct kmse_master *master, int64_t created_s,
                        struct kmse_secret *key)
{
    if (master->count == KMSE_BACKING_KEYS_MAX)
        return KMSE_ERR(KMSE_R_STATE);
    struct kmse_backing_key *keys =
        realloc(master->keys, (master->count + 1) * sizeof(*keys));
    if (keys == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    keys[master->count].created_s = created_s;
    keys[master->count].key = kmse_secret_take(key);
    master->keys = keys;
    master->count++;
    return KMSE_OK;
}

void kmse_master_wipe(struct kmse_master *master)
{
    for (size_t i = 0; i < master->count; i++)
        kmse_secret_wipe(&master->keys[i].key);
    free(master->keys);
    *master = (struct kmse_master){0};
}

/* Where the name is in the table, or FIELD_COUNT. */
static size_t find_field(const char *const names[FIELD_COUNT], const char *name)
{
    size_t i = 0;
    while (i < FIELD_COUNT && strcmp(names[i], name) != 0)
        i++;
    return i;
}

/* Exactly these fields, in any order. bad: the name of one that is wrong. */
static bool take_fields(const cJSON *fields[FIELD_COUNT], const char **bad,
                        const char *const names[FIELD_COUNT],
                        const cJSON *object)
{
    memset(fields, 0, FIELD_COUNT * sizeof(*fields));
    *bad = "an object's place";
    if (!cJSON_IsObject(object))
        return false;
    const cJSON *field = NULL;
    cJSON_ArrayForEach(field, object)
    {
        size_t i = find_field(names, field->string);
        *bad = "an unknown field";
        if (i == FIELD_COUNT)
            return false;
        *bad = names[i];
        if (fields[i] != NULL)
            return false;
        fields[i] = field;
    }
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        *bad = names[i];
        if (fields[i] == NULL)
            return false;
    }
    return true;
}

static kmse_st decode_key(struct kmse_secret *key, const char *text,
                          struct kmse_pool *pool)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    KMSE_TRY(kmse_base64_decode(&bytes, &len, text));
    kmse_st st = KMSE_ERR(KMSE_R_ENCODING);
    if (len == KMSE_SECRET_LEN)
        st = kmse_secret_init(key, pool);
    if (kmse_is_ok(st))
        memcpy(key->bytes, bytes, KMSE_SECRET_LEN);
    kmse_file_free_bytes(bytes, len);
    return st;
}

static kmse_st take_backing_key(struct kmse_master *master, const char **bad,
                                const cJSON *object, struct kmse_pool *pool)
{
    const cJSON *fields[FIELD_COUNT];
    if (!take_fields(fields, bad, BACKING_FIELDS, object))
        return KMSE_ERR(KMSE_R_ENCODING);

    *bad = BACKING_FIELDS[0];
    if (!cJSON_IsNumber(fields[0])
        || fields[0]->valuedouble != (double)(master->count + 1))
        return KMSE_ERR(KMSE_R_ENCODING);
    *bad = BACKING_FIELDS[1];
    int64_t created_s = 0;
    if (!cJSON_IsString(fields[1]))
        return KMSE_ERR(KMSE_R_ENCODING);
    KMSE_TRY(kmse_time_parse(&created_s, fields[1]->valuestring));
    *bad = BACKING_FIELDS[2];
    struct kmse_secret key = {0};
    if (!cJSON_IsString(fields[2]))
        return KMSE_ERR(KMSE_R_ENCODING);
    KMSE_TRY(decode_key(&key, fields[2]->valuestring, pool));

    kmse_st st = kmse_master_add(master, created_s, &key);
    kmse_secret_wipe(&key);
    return st;
}

static kmse_st take_master(struct kmse_master *master, const char **bad,
                           const cJSON *root, struct kmse_pool *pool)
{
    const cJSON *fields[FIELD_COUNT];
    if (!take_fields(fields, bad, MASTER_FIELDS, root))
        return KMSE_ERR(KMSE_R_ENCODING);
    *bad = MASTER_FIELDS[0];
    if (!cJSON_IsString(fields[0])
        || strcmp(fields[0]->valuestring, FORMAT) != 0)
        return KMSE_ERR(KMSE_R_ENCODING);
    *bad = MASTER_FIELDS[1];
    if (!cJSON_IsString(fields[1]))
        return KMSE_ERR(KMSE_R_ENCODING);
    KMSE_TRY(kmse_hex_decode(master->id, KMSE_MASTER_ID_LEN,
                             fields[1]->valuestring));
    *bad = MASTER_FIELDS[2];
    if (!cJSON_IsArray(fields[2]) || fields[2]->child == NULL)
        return KMSE_ERR(KMSE_R_ENCODING);
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, fields[2])
        KMSE_TRY(take_backing_key(master, bad, item, pool));
    return KMSE_OK;
}

kmse_st kmse_master_parse(struct kmse_master *master, const char *json,
                          size_t json_len, struct kmse_pool *pool,
                          const char *origin, struct kmse_why *why)
{
    cJSON *root = kmse_json_parse(json, json_len);
    if (root == NULL)
        return kmse_fail(why, KMSE_R_KMS_ANSWER,
                         "%s: not valid JSON: restore the file from a backup",
                         origin);
    struct kmse_master made = {0};
    const char *bad = "";
    kmse_st st = take_master(&made, &bad, root, pool);
    kmse_json_wipe(root);
    if (kmse_is_ok(st)) {
        *master = made;
        return KMSE_OK;
    }

    size_t at = made.count + 1;
    kmse_master_wipe(&made);
    if (st.reason != KMSE_R_ENCODING && st.reason != KMSE_R_STATE)
        return kmse_fail(why, st.reason, "%s: cannot be read", origin);
    return kmse_fail(why, KMSE_R_KMS_ANSWER,
                     "%s: bad '%s' (of the file, or of backing key %zu):"
                     " restore the file from a backup",
                     origin, bad, at);
}

/* Written by hand: cJSON's printer leaves keys in memory that it reallocs. */
static kmse_st print_backing_key(char *out, size_t *used, size_t number,
                                 const struct kmse_backing_key *backing)
{
    char created[KMSE_TIME_LEN];
    char *key = NULL;
    kmse_time_print(created, backing->created_s);
    KMSE_TRY(kmse_base64_encode(&key, backing->key.bytes, KMSE_SECRET_LEN));
    *used += (size_t)snprintf(out + *used, PRINTED_MAX,
                              "%s\n    {\"number\": %zu, \"created\": \"%s\","
                              " \"key\": \"%s\"}",
                              number > 1 ? "," : "", number, created, key);
    OPENSSL_cleanse(key, strlen(key));
    free(key);
    return KMSE_OK;
}

kmse_st kmse_master_print(uint8_t **json, size_t *len,
                          const struct kmse_master *master)
{
    size_t size = (master->count + 2) * PRINTED_MAX;
    char *out = malloc(size);
    if (out == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    char id[2 * KMSE_MASTER_ID_LEN + 1];
    kmse_hex_encode(id, master->id, KMSE_MASTER_ID_LEN);
    size_t used = (size_t)snprintf(out, PRINTED_MAX,
                                   "{\n  \"format\": \"%s\",\n"
                                   "  \"id\": \"%s\",\n  \"backing-keys\": [",
                                   FORMAT, id);
    for (size_t i = 0; i < master->count; i++) {
        kmse_st st = print_backing_key(out, &used, i + 1, &master->keys[i]);
        if (!kmse_is_ok(st)) {
            kmse_file_free_bytes((uint8_t *)out, used);
            return st;
        }
    }
    used += (size_t)snprintf(out + used, PRINTED_MAX, "\n  ]\n}\n");
    *json = (uint8_t *)out;
    *len = used;
    return KMSE_OK;
}
