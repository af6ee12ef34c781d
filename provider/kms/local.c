/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded KMS: master keys in a file, local:<path>. */
#include "kms/backend.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/file.h"
#include "kms/local_file.h"

/* A blob; the header is additional data, the context follows it there. */
enum {
    OFF_MAGIC = 0,
    OFF_NUMBER = 4,
    OFF_ID = 8,
    OFF_NONCE = OFF_ID + KMSE_MASTER_ID_LEN,
    OFF_CIPHERTEXT = OFF_NONCE + KMSE_GCM_IV_LEN,
    OFF_TAG = OFF_CIPHERTEXT + KMSE_SECRET_LEN,
    BLOB_LEN = OFF_TAG + KMSE_GCM_TAG_LEN,
    HEADER_LEN = OFF_NONCE,
};
static const uint8_t MAGIC[] = {'K', 'E', 'L', '1'};
static_assert(sizeof(MAGIC) == OFF_NUMBER - OFF_MAGIC, "blob layout");
static_assert((int)KMSE_SECRET_LEN == (int)KMSE_GCM_KEY_LEN, "AES-256 keys");

/* Group may read, so that a service's group can; nobody else anything. */
enum { FORBIDDEN_MODE = 0037, NEW_MODE = 0600, LOCK_TIMEOUT_MS = 10000 };

/* The path, absolute: a host may change its folder. */
static kmse_st resolve(const struct kmse_kms_call *call, char **resolved,
                       struct kmse_why *why)
{
    const char *location = call->location;
    char *made = NULL;
    if (location[0] == '/') {
        made = strdup(location);
    } else {
        char *folder = getcwd(NULL, 0);
        if (folder == NULL)
            return kmse_fail(why, KMSE_R_FILE, "%s: cannot be made absolute",
                             call->uri);
        size_t size = strlen(folder) + 1 + strlen(location) + 1;
        made = malloc(size);
        if (made != NULL)
            snprintf(made, size, "%s/%s",
                     strcmp(folder, "/") == 0 ? "" : folder, location);
        free(folder);
    }
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    *resolved = made;
    return KMSE_OK;
}

/* Why reading failed, in the words of a KMS. */
static kmse_st explain_unreadable(const struct kmse_kms_call *call, kmse_st st,
                                  struct kmse_why *why)
{
    if (st.reason == KMSE_R_FILE_MODE)
        return kmse_fail(why, st.reason, "%s: open to others: chmod 600 '%s'",
                         call->uri, call->location);
    if (st.reason != KMSE_R_FILE)
        return kmse_fail(why, st.reason, "%s: cannot be read", call->uri);

    int fd = open(call->location, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    switch (error) {
    case 0: /* it opens, but was not to be read as a file: why has it */
        return st;
    case ENOENT:
    case ENOTDIR:
        return kmse_fail(why, KMSE_R_KMS_KEY_NOT_FOUND,
                         "%s: no such file: restore it from a backup, or see"
                         " whether its folder is mounted",
                         call->uri);
    case EACCES:
    case EPERM:
        return kmse_fail(why, KMSE_R_KMS_DENIED,
                         "%s: may not be read by user id %u: see the owner and"
                         " mode of the file and of its folders",
                         call->uri, (unsigned)geteuid());
    default:
        return kmse_fail(why, KMSE_R_KMS_UNREACHABLE, "%s: %s", call->uri,
                         strerror(error));
    }
}

static kmse_st load(struct kmse_master *master,
                    const struct kmse_kms_call *call, struct kmse_why *why)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    kmse_st st = kmse_file_read(call->location, KMSE_MASTER_FILE_MAX,
                                FORBIDDEN_MODE, &bytes, &len, why);
    if (!kmse_is_ok(st))
        return explain_unreadable(call, st, why);
    st = kmse_master_parse(master, (const char *)bytes, len, call->pool,
                           call->uri, why);
    kmse_file_free_bytes(bytes, len);
    return st;
}

/* folder/name of a path, as kmse_file_lock and kmse_file_replace take it. */
struct place {
    char *folder;
    const char *name;
};

static kmse_st place_init(struct place *place, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        place->folder = strdup(".");
    else if (slash == path)
        place->folder = strdup("/");
    else
        place->folder = strndup(path, (size_t)(slash - path));
    if (place->folder == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    place->name = slash == NULL ? path : slash + 1;
    return KMSE_OK;
}

static void place_wipe(struct place *place)
{
    free(place->folder);
}

static kmse_st add_random_key(struct kmse_master *master,
                              const struct kmse_kms_call *call)
{
    struct kmse_secret key = {0};
    KMSE_TRY(kmse_secret_init(&key, call->pool));
    kmse_st st = kmse_crypto_random(call->crypto, key.bytes, KMSE_SECRET_LEN);
    if (kmse_is_ok(st))
        st = kmse_master_add(master, call->clock->wall_s(call->clock->arg),
                             &key);
    kmse_secret_wipe(&key);
    return st;
}

static bool same_keys(const struct kmse_master *a, const struct kmse_master *b)
{
    bool same =
        a->count == b->count && memcmp(a->id, b->id, KMSE_MASTER_ID_LEN) == 0;
    for (size_t i = 0; same && i < a->count; i++)
        same = CRYPTO_memcmp(a->keys[i].key.bytes, b->keys[i].key.bytes,
                             KMSE_SECRET_LEN)
               == 0;
    return same;
}

/* What is about to replace the file holds every key, or it does not. */
static kmse_st locked_store(const struct kmse_master *master,
                            const struct kmse_kms_call *call,
                            const struct place *place, mode_t mode,
                            struct kmse_why *why)
{
    uint8_t *json = NULL;
    size_t len = 0;
    struct kmse_master again = {0};
    kmse_st st = kmse_master_print(&json, &len, master);
    if (kmse_is_ok(st))
        st = kmse_master_parse(&again, (const char *)json, len, call->pool,
                               call->uri, why);
    if (kmse_is_ok(st) && !same_keys(master, &again))
        st = KMSE_ERR(KMSE_R_INTERNAL);
    if (!kmse_is_ok(st))
        st = kmse_fail(why, st.reason, "%s: the file is left as it was",
                       call->uri);
    else
        st =
            kmse_file_replace(place->folder, place->name, json, len, mode, why);
    kmse_master_wipe(&again);
    kmse_file_free_bytes(json, len);
    return st;
}

static kmse_st locked_create(const struct kmse_kms_call *call,
                             const struct place *place, struct kmse_why *why)
{
    struct kmse_master master = {0};
    kmse_st st = kmse_crypto_random(call->crypto, master.id, sizeof(master.id));
    if (kmse_is_ok(st))
        st = add_random_key(&master, call);
    if (!kmse_is_ok(st))
        st = kmse_fail(why, st.reason, "%s: no new master key", call->uri);
    else
        st = locked_store(&master, call, place, NEW_MODE, why);
    kmse_master_wipe(&master);
    return st;
}

/* A group that was let in stays in. */
static mode_t mode_now(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return NEW_MODE;
    return status.st_mode & (mode_t)(0777 & ~FORBIDDEN_MODE);
}

static kmse_st locked_rotate(const struct kmse_kms_call *call,
                             const struct place *place, struct kmse_why *why)
{
    struct kmse_master master = {0};
    KMSE_TRY(load(&master, call, why));
    kmse_st st = add_random_key(&master, call);
    if (st.reason == KMSE_R_STATE)
        st = kmse_fail(why, st.reason,
                       "%s: has %d backing keys, no more fit: rewrap to a new"
                       " master key",
                       call->uri, KMSE_BACKING_KEYS_MAX);
    else if (!kmse_is_ok(st))
        st = kmse_fail(why, st.reason, "%s: no new backing key", call->uri);
    else
        st = locked_store(&master, call, place, mode_now(call->location), why);
    kmse_master_wipe(&master);
    return st;
}

/* Another process may have made it while we waited for the lock. */
static kmse_st locked_create_if_absent(const struct kmse_kms_call *call,
                                       const struct place *place,
                                       struct kmse_why *why)
{
    struct kmse_master master = {0};
    kmse_st st = load(&master, call, why);
    kmse_master_wipe(&master);
    if (st.reason != KMSE_R_KMS_KEY_NOT_FOUND)
        return st;
    return locked_create(call, place, why);
}

static kmse_st with_lock(const struct kmse_kms_call *call,
                         kmse_st (*locked_do)(const struct kmse_kms_call *,
                                              const struct place *,
                                              struct kmse_why *),
                         struct kmse_why *why)
{
    struct place place = {0};
    int lock_fd = -1;
    kmse_st st = place_init(&place, call->location);
    if (kmse_is_ok(st))
        st = kmse_file_lock(place.folder, place.name, LOCK_TIMEOUT_MS, &lock_fd,
                            why);
    if (kmse_is_ok(st)) {
        st = locked_do(call, &place, why);
        kmse_file_unlock(lock_fd);
    }
    place_wipe(&place);
    return st;
}

static kmse_st ensure(const struct kmse_kms_call *call, bool *made,
                      struct kmse_why *why)
{
    struct kmse_master master = {0};
    kmse_st st = load(&master, call, why);
    kmse_master_wipe(&master);
    if (st.reason != KMSE_R_KMS_KEY_NOT_FOUND)
        return st;
    KMSE_TRY(with_lock(call, locked_create_if_absent, why));
    *made = true;
    return KMSE_OK;
}

static kmse_st rotate_master(const struct kmse_kms_call *call,
                             struct kmse_why *why)
{
    struct kmse_master master = {0};
    KMSE_TRY(load(&master, call, why)); /* no lock file beside nothing */
    kmse_master_wipe(&master);
    return with_lock(call, locked_rotate, why);
}

/* A GCM ready for the data key: keyed, with nonce and additional data. */
static kmse_st
gcm_begin(struct kmse_gcm **gcm, const struct kmse_kms_call *call,
          enum kmse_direction direction, const struct kmse_secret *backing_key,
          const struct kmse_kms_context *context, const uint8_t blob[BLOB_LEN])
{
    uint8_t *encoded = NULL;
    size_t encoded_len = 0;
    struct kmse_gcm *made = NULL;
    kmse_st st = kmse_kms_context_encode(&encoded, &encoded_len, context);
    if (kmse_is_ok(st))
        st = kmse_gcm_new(&made, call->crypto, backing_key->bytes, direction);
    if (kmse_is_ok(st))
        st = kmse_gcm_start(made, blob + OFF_NONCE);
    if (kmse_is_ok(st))
        st = kmse_gcm_aad(made, blob, HEADER_LEN);
    if (kmse_is_ok(st))
        st = kmse_gcm_aad(made, encoded, encoded_len);
    free(encoded);
    if (!kmse_is_ok(st)) {
        kmse_gcm_free(made);
        return st;
    }
    *gcm = made;
    return KMSE_OK;
}

static kmse_st seal(uint8_t blob[BLOB_LEN], const struct kmse_kms_call *call,
                    const struct kmse_master *master,
                    const struct kmse_kms_context *context,
                    const struct kmse_secret *data_key)
{
    memcpy(blob + OFF_MAGIC, MAGIC, sizeof(MAGIC));
    kmse_store_be32(blob + OFF_NUMBER, (uint32_t)master->count);
    memcpy(blob + OFF_ID, master->id, KMSE_MASTER_ID_LEN);
    KMSE_TRY(
        kmse_crypto_random(call->crypto, blob + OFF_NONCE, KMSE_GCM_IV_LEN));

    struct kmse_gcm *gcm = NULL;
    KMSE_TRY(gcm_begin(&gcm, call, KMSE_SEAL,
                       &master->keys[master->count - 1].key, context, blob));
    kmse_st st = kmse_gcm_update(gcm, blob + OFF_CIPHERTEXT, data_key->bytes,
                                 KMSE_SECRET_LEN);
    if (kmse_is_ok(st))
        st = kmse_gcm_seal_finish(gcm, blob + OFF_TAG);
    kmse_gcm_free(gcm);
    return st;
}

static kmse_st wrap(const struct kmse_kms_call *call,
                    const struct kmse_kms_context *context,
                    const struct kmse_secret *data_key, struct kmse_blob *blob,
                    struct kmse_why *why)
{
    struct kmse_master master = {0};
    KMSE_TRY(load(&master, call, why));
    uint8_t *bytes = malloc(BLOB_LEN);
    kmse_st st = KMSE_ERR(KMSE_R_MEMORY);
    if (bytes != NULL)
        st = seal(bytes, call, &master, context, data_key);
    kmse_master_wipe(&master);
    if (!kmse_is_ok(st)) {
        free(bytes);
        return kmse_fail(why, st.reason, "%s: the data key was not wrapped",
                         call->uri);
    }
    *blob = (struct kmse_blob){.bytes = bytes, .len = BLOB_LEN};
    return KMSE_OK;
}

/* The backing key that made the blob. */
static kmse_st find_backing_key(const struct kmse_secret **key,
                                const struct kmse_kms_call *call,
                                const struct kmse_master *master,
                                const struct kmse_blob *blob,
                                struct kmse_why *why)
{
    if (blob->len != BLOB_LEN
        || memcmp(blob->bytes + OFF_MAGIC, MAGIC, sizeof(MAGIC)) != 0)
        return kmse_fail(why, KMSE_R_KMS_BLOB,
                         "%s: not a whole blob of a local master key (%zu"
                         " bytes): restore the key file from a backup",
                         call->uri, blob->len);
    if (memcmp(blob->bytes + OFF_ID, master->id, KMSE_MASTER_ID_LEN) != 0) {
        char made_by[2 * KMSE_MASTER_ID_LEN + 1];
        kmse_hex_encode(made_by, blob->bytes + OFF_ID, KMSE_MASTER_ID_LEN);
        return kmse_fail(why, KMSE_R_KMS_WRONG_KEY,
                         "%s: the blob needs the master key with id %s: put"
                         " that file back in its place",
                         call->uri, made_by);
    }
    uint32_t number = kmse_load_be32(blob->bytes + OFF_NUMBER);
    if (number == 0 || number > master->count)
        return kmse_fail(why, KMSE_R_KMS_BLOB,
                         "%s: has no backing key %u, only 1 to %zu: restore"
                         " the newest copy of the file",
                         call->uri, (unsigned)number, master->count);
    *key = &master->keys[number - 1].key;
    return KMSE_OK;
}

static kmse_st open_blob(struct kmse_secret *data_key,
                         const struct kmse_kms_call *call,
                         const struct kmse_secret *backing_key,
                         const struct kmse_kms_context *context,
                         const uint8_t blob[BLOB_LEN])
{
    struct kmse_secret made = {0};
    struct kmse_gcm *gcm = NULL;
    kmse_st st = kmse_secret_init(&made, call->pool);
    if (kmse_is_ok(st))
        st = gcm_begin(&gcm, call, KMSE_OPEN, backing_key, context, blob);
    if (kmse_is_ok(st))
        st = kmse_gcm_update(gcm, made.bytes, blob + OFF_CIPHERTEXT,
                             KMSE_SECRET_LEN);
    if (kmse_is_ok(st))
        st = kmse_gcm_open_finish(gcm, blob + OFF_TAG);
    if (kmse_is_ok(st))
        *data_key = kmse_secret_take(&made);
    kmse_gcm_free(gcm);
    kmse_secret_wipe(&made);
    return st;
}

static kmse_st unwrap(const struct kmse_kms_call *call,
                      const struct kmse_kms_context *context,
                      const struct kmse_blob *blob,
                      struct kmse_secret *data_key, struct kmse_why *why)
{
    struct kmse_master master = {0};
    KMSE_TRY(load(&master, call, why));
    const struct kmse_secret *backing_key = NULL;
    kmse_st st = find_backing_key(&backing_key, call, &master, blob, why);
    if (kmse_is_ok(st)) {
        st = open_blob(data_key, call, backing_key, context, blob->bytes);
        if (st.reason == KMSE_R_TAG_MISMATCH)
            st = kmse_fail(why, KMSE_R_KMS_BLOB,
                           "%s: the blob was changed, or is of another"
                           " encryption context: restore the key file from a"
                           " backup",
                           call->uri);
        else if (!kmse_is_ok(st))
            st = kmse_fail(why, st.reason, "%s: the blob was not opened",
                           call->uri);
    }
    kmse_master_wipe(&master);
    return st;
}

static kmse_st describe(const struct kmse_kms_call *call,
                        struct kmse_kms_description *description,
                        struct kmse_why *why)
{
    struct kmse_master master = {0};
    KMSE_TRY(load(&master, call, why));
    static_assert(sizeof(description->id) > 2 * KMSE_MASTER_ID_LEN, "id");
    *description = (struct kmse_kms_description){
        .backing_keys = (unsigned)master.count,
        .newest_s = master.keys[master.count - 1].created_s,
    };
    kmse_hex_encode(description->id, master.id, KMSE_MASTER_ID_LEN);
    kmse_master_wipe(&master);
    return KMSE_OK;
}

const struct kmse_kms_backend kmse_kms_local = {
    .scheme = "local:",
    .resolve = resolve,
    .ensure = ensure,
    .rotate_master = rotate_master,
    .wrap = wrap,
    .unwrap = unwrap,
    .describe = describe,
};
