/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_COPIES_ENV_H
#define KMSE_TEST_UNIT_COPIES_ENV_H

#include "test.h"

#include "keyring/rotation.h"

/*
 * A folder with three local master keys and the key "emails". A program that
 * uses it is linked with --wrap for kmse_kms_unwrap and kmse_kms_rewrap.
 */
enum { PATH_LEN = 96, URI_LEN = 128, ANSWERS_MAX = 32 };
enum { A, B, C };

extern struct copies_env {
    char folder[64], path[3][PATH_LEN], uri[3][URI_LEN];
    struct kmse_rotation rotation;
} at;
extern struct kmse_why why; /* of the last failure */
#define NAME "emails"

void expect_done(kmse_st st);
void expect_said(const char *words);

/* For cmocka: the folder alone; or with a key of two versions, each with a copy
 * under A and one under B. */
int set_up(void **state);
int set_up_two(void **state);
int tear_down(void **state);

/* What the master key of that URI answers to an unwrap, in place of opening. */
void answer(const char *uri, int reason);
void forget_answers(void);
/* From which master keys rewraps were tried, and what they give, if not NULL.
 */
extern char rewrapped_from[ANSWERS_MAX][URI_LEN];
extern size_t rewrap_count;
extern const struct kmse_blob *lie;

struct kmse_keyfile *read_file(void);
/* The bytes of the file, for the caller to free. */
char *file_text(void);
kmse_st open_with(const struct kmse_keyfile *file,
                  const struct kmse_version *version,
                  struct kmse_secret *data_key) KMSE_MUST_CHECK;

/* Each copy of each version, for itself. */
void expect_every_copy_opens(void);
/* Of each version the letters of its master keys, in order: "a b". */
void expect_copies(const char *one, const char *two);

/* The file of a local master key cannot be read, for no fault of its own. */
void make_unreachable(int master);
/* A blob that opens, under the right context, to another data key; written. */
void falsify(const struct kmse_keyfile *file, struct kmse_copy *copy);

#endif
