/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_KEYFILE_H
#define KMSE_KEYRING_KEYFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/secret.h"
#include "base/status.h"
#include "kms/kms.h"
#include "kms_envelope/format.h"

/*
 * The key file <keys>/<name>.json: a key's versions, their wrapped data keys
 * and what proves them. kms-envelope-keyfile(5) is the format, with an example.
 */

enum kmse_version_state {
    KMSE_VERSION_ACTIVE,
    KMSE_VERSION_REVOKED,   /* used for nothing, until that is undone */
    KMSE_VERSION_RETIRED,   /* does not decrypt; its copies are kept */
    KMSE_VERSION_DESTROYED, /* has no copies any more */
};
enum { KMSE_VERSION_STATES = KMSE_VERSION_DESTROYED + 1 };
/* As key files have it: "active", ... */
const char *kmse_version_state_name(enum kmse_version_state state);

struct kmse_keyfile;

/*
 * One data key, wrapped by one master key. The context it was wrapped with is
 * that of its key and version. Only a blob that was there before the key was,
 * and was adopted, keeps one of its own, which never has names of ours: so no
 * copy that was made for a version can stand for another version's.
 */
struct kmse_copy {
    char *kms; /* the master key's URI, as kmse_kms_resolve gives it */
    struct kmse_blob blob;
    struct kmse_kms_context context;
    bool adopted;
};

kmse_st kmse_copy_copy(struct kmse_copy *to,
                       const struct kmse_copy *from) KMSE_MUST_CHECK;
void kmse_copy_wipe(struct kmse_copy *copy);

struct kmse_version {
    uint32_t number; /* 1 .. KMSE_VERSION_MAX */
    int64_t created_s;
    int64_t active_from_s; /* encrypts from then on */
    enum kmse_version_state state;
    uint8_t commitment[KMSE_HMAC_LEN];
    /* Each 0 if the file does not say. */
    int64_t retired_s;   /* of one that is retired, or was before its end */
    int64_t destroyed_s; /* of one that is destroyed */
    int64_t restored_s;  /* when a retirement was last undone */
    struct kmse_copy *copies;
    size_t copy_count;
};

/* As in the key file; or "pending": its time has not come. */
const char *kmse_version_state_at(const struct kmse_version *version,
                                  int64_t now_s);

struct kmse_policy {
    /* For one version in one process; 0: as the configuration says. */
    uint64_t max_messages;
    uint64_t max_bytes;
    /* A version is to be followed by the next when it is that old; 0: never. */
    uint64_t rotate_after_s;
    /* Retired for that long, a version may be destroyed; 0: the default. */
    uint64_t destroy_after_s;
    /* What a census waits for, after others encrypt; 0: the default. */
    uint64_t census_fence_s;
};
#define KMSE_ROTATE_AFTER_MAX_S ((uint64_t)3660 * 86400) /* ten years */
enum {
    KMSE_DESTROY_AFTER_S = 30 * 86400, /* the default */
    /*
     * A program encrypts under its view of the key file until it looks again,
     * within a second, and its row is there when its transaction ends.
     */
    KMSE_CENSUS_FENCE_S = 60, /* the default */
    KMSE_CENSUS_FENCE_MIN_S = 5,
};

/*
 * What a census found in one place: the last one that was recorded of it. A
 * version that is not among the first found_count had not been made then.
 */
struct kmse_census_record {
    char *scope;     /* in words: "users.email of crm" */
    char *tool;      /* that took it: "kms-envelope 0.1.0" */
    int64_t taken_s; /* when it began, before its first row was read */
    uint64_t *found; /* rows under version 1, 2, ... */
    size_t found_count;
    uint64_t other; /* rows that are no messages */
};
enum {
    KMSE_SCOPE_MAX = 200, /* bytes of UTF-8, none of them a control */
    KMSE_CENSUS_TOOL_MAX = 64,
    KMSE_CENSUSES_MAX = 256, /* scopes of one key */
};

/* 1 .. max bytes of UTF-8 without controls. */
bool kmse_census_text_is_valid(const char *text, size_t max);
void kmse_census_record_wipe(struct kmse_census_record *record);
/* NULL if no census of that scope is recorded. */
struct kmse_census_record *kmse_keyfile_census(const struct kmse_keyfile *file,
                                               const char *scope);
/* Rows under that version, 0 if it had not been made then. */
uint64_t kmse_census_found(const struct kmse_census_record *record,
                           uint32_t version);

struct kmse_keyfile {
    char name[KMSE_KEY_NAME_MAX + 1];
    uint8_t id[KMSE_KEY_ID_LEN];
    int64_t created_s;
    struct kmse_kms_context context; /* the user's own pairs */
    struct kmse_policy policy;
    struct kmse_version *versions;       /* numbers 1, 2, 3, ... in order */
    size_t version_count;                /* at least 1 */
    struct kmse_census_record *censuses; /* no scope twice */
    size_t census_count;
    uint8_t mac[KMSE_HMAC_LEN];
};

/* [a-z0-9._-]{1,31}, not beginning with a dot or a dash. */
bool kmse_key_name_is_valid(const char *name);

struct kmse_keyfile *kmse_keyfile_new(void);
void kmse_keyfile_free(struct kmse_keyfile *file);

/* The highest number; it keys the MAC. */
const struct kmse_version *kmse_keyfile_newest(const struct kmse_keyfile *file);
/* The highest number that is active at that time, or NULL. */
const struct kmse_version *kmse_keyfile_current(const struct kmse_keyfile *file,
                                                int64_t wall_s);
/*
 * Since when no program encrypts with it that has this file: the time from
 * which a later version does, or when that was made, the later of the two. 0:
 * never, there is no later version that is active.
 */
int64_t kmse_keyfile_superseded(const struct kmse_keyfile *file,
                                const struct kmse_version *version);
/* From when a retired version may be destroyed; 0: the file does not say. */
int64_t kmse_keyfile_destroyable(const struct kmse_keyfile *file,
                                 const struct kmse_version *version);
/* As the policy says, or by default. */
int64_t kmse_policy_destroy_after(const struct kmse_policy *policy);
int64_t kmse_policy_census_fence(const struct kmse_policy *policy);

/* NULL if there is no such version. */
const struct kmse_version *kmse_keyfile_find(const struct kmse_keyfile *file,
                                             uint32_t number);

/*
 * The encryption context for copies of a version: the file's own pairs,
 * KMSE_CONTEXT_KEY and KMSE_CONTEXT_VERSION. Nobody else's name begins so.
 */
#define KMSE_CONTEXT_RESERVED "kms-envelope:"
#define KMSE_CONTEXT_KEY      KMSE_CONTEXT_RESERVED "key"
#define KMSE_CONTEXT_VERSION  KMSE_CONTEXT_RESERVED "version"
bool kmse_context_has_reserved(const struct kmse_kms_context *context);
kmse_st kmse_keyfile_context(struct kmse_kms_context *context,
                             const struct kmse_keyfile *file,
                             uint32_t number) KMSE_MUST_CHECK;

/*
 * Strict: every field there, each of its type, none unknown, none twice, and
 * of the name asked for. origin names the file in why. json[json_len] is NUL.
 * KMSE_R_KEYFILE_SYNTAX or KMSE_R_KEYFILE_FIELD; *file only on success.
 */
kmse_st kmse_keyfile_parse(struct kmse_keyfile **file, const char *json,
                           size_t json_len, const char *name,
                           const char *origin,
                           struct kmse_why *why) KMSE_MUST_CHECK;
/* The caller frees *json with free(). */
kmse_st kmse_keyfile_print(char **json,
                           const struct kmse_keyfile *file) KMSE_MUST_CHECK;

/* What proves a data key to be a version's: HKDF, KMSE_INFO_COMMITMENT. */
kmse_st
kmse_keyfile_commitment(uint8_t out[KMSE_HMAC_LEN], struct kmse_crypto *crypto,
                        const uint8_t id[KMSE_KEY_ID_LEN], uint32_t number,
                        const struct kmse_secret *data_key) KMSE_MUST_CHECK;
/* Everything but the wrapped copies, under the newest version's data key. */
kmse_st kmse_keyfile_mac(uint8_t out[KMSE_HMAC_LEN], struct kmse_crypto *crypto,
                         const struct kmse_keyfile *file,
                         const struct kmse_secret *newest) KMSE_MUST_CHECK;
/* KMSE_R_KEYFILE_MAC unless file->mac is right. */
kmse_st kmse_keyfile_check_mac(struct kmse_crypto *crypto,
                               const struct kmse_keyfile *file,
                               const struct kmse_secret *newest,
                               struct kmse_why *why) KMSE_MUST_CHECK;

/* 32 bytes for one use of a data key: HKDF, info = label || id || version. */
kmse_st kmse_datakey_derive(uint8_t out[KMSE_SECRET_LEN],
                            struct kmse_crypto *crypto,
                            const struct kmse_secret *data_key,
                            const char *label,
                            const uint8_t id[KMSE_KEY_ID_LEN],
                            uint32_t number) KMSE_MUST_CHECK;
/* The same of another length. On failure out is wiped. */
kmse_st kmse_datakey_derive_long(uint8_t *out, size_t out_len,
                                 struct kmse_crypto *crypto,
                                 const struct kmse_secret *data_key,
                                 const char *label,
                                 const uint8_t id[KMSE_KEY_ID_LEN],
                                 uint32_t number) KMSE_MUST_CHECK;

/*
 * Try a version's copies in order; the first that opens and fits the
 * commitment is the data key. With several failures, why tells each, shortly,
 * and the status is that of the one most likely to end: failures.h says why.
 * KMSE_R_KEY_VERSION_DESTROYED if there is none.
 */
kmse_st kmse_keyfile_unwrap(struct kmse_secret *data_key, struct kmse_kms *kms,
                            struct kmse_crypto *crypto,
                            const struct kmse_keyfile *file,
                            const struct kmse_version *version,
                            struct kmse_why *why) KMSE_MUST_CHECK;

/* What tells one state of a file from the next without reading it. */
struct kmse_file_mark {
    uint64_t device, inode, size;
    int64_t mtime_s, mtime_ns;
};
bool kmse_file_mark_equal(const struct kmse_file_mark *a,
                          const struct kmse_file_mark *b);
kmse_st kmse_keyfile_stat(const char *folder, const char *name,
                          struct kmse_file_mark *mark,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * Read and parse <folder>/<name>.json. *mark (if asked for) is of the bytes
 * read. KMSE_R_KEY_NOT_FOUND if there is no such file, KMSE_R_FILE_MODE if
 * others may write it.
 */
kmse_st kmse_keyfile_read(struct kmse_keyfile **file, const char *folder,
                          const char *name, struct kmse_file_mark *mark,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/* Writers take this lock first: kmse_file_unlock(lock_fd) ends it. */
kmse_st kmse_keyfile_lock(const char *folder, const char *name, int *lock_fd,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * Replace the file, or leave it. Refused (KMSE_R_INTERNAL) if the new file has
 * less than the one on disk: a version is missing, a commitment differs, an
 * undestroyed version is without copies, or one is destroyed that was not
 * retired. Call it under the lock.
 */
kmse_st kmse_keyfile_write(const struct kmse_keyfile *file, const char *folder,
                           struct kmse_why *why) KMSE_MUST_CHECK;

/* Names of the keys in a folder, sorted; the caller frees with the other. */
kmse_st kmse_keyfile_list(char ***names, size_t *count, const char *folder,
                          struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_keyfile_free_list(char **names, size_t count);

#endif
