/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_STATUS_H
#define KMSE_BASE_STATUS_H

#include <stdbool.h>

/*
 * The result of every internal function that can fail: success, or one reason.
 * A struct, so that "if (f())" and a forgotten result do not compile. What a
 * reason cannot say - which key, which file, and the mend - goes into a
 * struct kmse_why, filled where the failure is found.
 */
typedef struct kmse_st {
    int reason; /* 0, or one of enum kmse_reason */
} kmse_st;

#define KMSE_MUST_CHECK __attribute__((warn_unused_result))

/* X(name, number, text). Numbers are part of the interface: never reused. */
#define KMSE_REASONS(X)                                                        \
    X(MEMORY, 1, "out of memory")                                              \
    X(INTERNAL, 2, "internal error")                                           \
    X(CRYPTO, 3, "the inner cryptography failed")                              \
    X(CRYPTO_UNAVAILABLE, 4, "no provider offers a needed algorithm")          \
    X(SECURE_MEMORY, 5, "no memory for keys")                                  \
    X(FILE, 6, "file error")                                                   \
    X(FILE_MODE, 7, "a file's mode is too open")                               \
    X(ENCODING, 8, "not valid hex or base64")                                  \
    X(HEADER_SHORT, 20, "the message ends before its header does")             \
    X(FORMAT_UNKNOWN, 21, "not a KMS-ENVELOPE message of a known format")      \
    X(KEY_VERSION, 22, "the key version is out of range")                      \
    X(MESSAGE_SHORT, 23, "the message is truncated")                           \
    X(MESSAGE_TOO_LONG, 24, "the message is too long for AES-GCM")             \
    X(TAG_MISMATCH, 25,                                                        \
      "the message was not made with this key and AAD, "                       \
      "or was changed")                                                        \
    X(STATE, 26, "the operation is not possible in this state")                \
    X(BUFFER_SMALL, 27, "the output buffer is too small")                      \
    X(AAD_TOO_LONG, 28, "too much additional data before the header")          \
    X(STREAM_PIECES, 35, "the stream does not come in the pieces it needs")    \
    X(STREAM_ENDED, 36, "there are bytes after the end of the stream")         \
    X(KEY_NAME, 40, "no key of that name")                                     \
    X(KEY_NOT_FOUND, 41, "the key is not found")                               \
    X(KEY_VERSION_UNKNOWN, 42, "the key has no such version")                  \
    X(KEY_VERSION_RETIRED, 43, "the key version is retired")                   \
    X(KEY_VERSION_DESTROYED, 44, "the key version is destroyed")               \
    X(KEY_NO_ACTIVE_VERSION, 45, "the key has no active version yet")          \
    X(KEY_EXISTS, 46, "the key exists already")                                \
    X(KEY_LIMIT, 47, "the key version reached its limit: rotate the key")      \
    X(KEY_VERSIONS_FULL, 48, "the key has no version number left")             \
    X(KEY_VERSION_REVOKED, 49, "the key version is revoked")                   \
    X(HANDLE, 50, "not a handle of any key here")                              \
    X(KEYFILE_SYNTAX, 60, "the key file is not valid")                         \
    X(KEYFILE_FIELD, 61, "the key file has a bad field")                       \
    X(KEYFILE_MAC, 62, "the key file was changed by something else")           \
    X(KEYFILE_ROLLED_BACK, 63, "the key file lost a version it had")           \
    X(KEYFILE_LOCKED, 64, "the key file is locked")                            \
    X(COMMITMENT, 65, "the KMS returned another data key")                     \
    X(KMS_URI, 80, "the master key's URI is not valid")                        \
    X(KMS_UNREACHABLE, 81, "the KMS is unreachable")                           \
    X(KMS_THROTTLED, 82, "the KMS is throttling")                              \
    X(KMS_DENIED, 83, "the KMS denied access")                                 \
    X(KMS_DISABLED, 84, "the master key is disabled")                          \
    X(KMS_KEY_NOT_FOUND, 85, "the master key is not found")                    \
    X(KMS_BLOB, 86, "the KMS cannot open this wrapped key")                    \
    X(KMS_WRONG_KEY, 87, "another master key made this wrapped key")           \
    X(KMS_ANSWER, 88, "the KMS gave a bad answer")                             \
    X(KMS_TIMEOUT, 89, "the KMS did not answer in time")                       \
    X(KMS_CREDENTIALS, 90, "no credentials for the KMS")                       \
    X(KMS_HTTP, 91, "the HTTP module cannot be used")                          \
    X(KMS_PENDING_DELETION, 92, "the master key is about to be deleted")       \
    X(KMS_STATE, 93, "the master key's state does not allow it")               \
    X(KMS_REFUSED, 94, "the KMS does not take the request")                    \
    X(INTERRUPTED, 95, "the call was given up, for the process forks or ends") \
    X(AGENT, 96, "the agent cannot be asked")                                  \
    X(CONFIG_VALUE, 100, "bad value in the configuration")                     \
    X(CONFIG_KEY, 101, "unknown key in the configuration")                     \
    X(CONFIG_KEYS_FOLDER, 102, "the folder of key files cannot be read")       \
    X(PARAMETER, 103, "bad parameter")                                         \
    X(DATABASE, 120, "the database does not allow it")                         \
    X(DATABASE_BUSY, 121, "the database cannot be used now")

enum kmse_reason {
#define KMSE_REASON_ENUM(name, number, text) KMSE_R_##name = (number),
    KMSE_REASONS(KMSE_REASON_ENUM)
#undef KMSE_REASON_ENUM
};

#define KMSE_OK     ((kmse_st){0})
#define KMSE_ERR(r) ((kmse_st){(r)})

static inline bool kmse_is_ok(kmse_st st)
{
    return st.reason == 0;
}

/* The sentence that belongs to a reason; never NULL. */
const char *kmse_reason_text(int reason);

enum { KMSE_WHY_LEN = 1024 };

/* Details of a failure, for people: one line, no secret, NUL-terminated. */
struct kmse_why {
    char text[KMSE_WHY_LEN];
};

/*
 * Set why->text (if why is not NULL) and return the reason as a status, so
 * that a failure is found, explained and returned in one line.
 */
kmse_st kmse_fail(struct kmse_why *why, int reason, const char *format, ...)
    __attribute__((format(printf, 3, 4))) KMSE_MUST_CHECK;

/* Return from the calling function if the expression is not success. */
#define KMSE_TRY(expr)                                                         \
    do {                                                                       \
        kmse_st kmse_try_st = (expr);                                          \
        if (!kmse_is_ok(kmse_try_st))                                          \
            return kmse_try_st;                                                \
    } while (0)

#endif
