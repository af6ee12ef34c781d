/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_RETIRE_ENV_H
#define KMSE_TEST_UNIT_RETIRE_ENV_H

#include "ring_fixture.h"

#include "keyring/retire.h"

/* The key of ring_fixture.h, whose versions are counted and end. */

#define NAME  "emails"
#define SCOPE "users.email of crm"
#define TOOL  "test 1"
enum { A_SECOND_MS = 1000, DAY_S = 86400, HOLD_S = 30 * DAY_S };

extern struct kmse_why why;

void expect_done(kmse_st st);
/* It failed for that reason, and why says that. */
void expect_said(kmse_st st, int reason, const char *words);

const struct kmse_rotation *with(void);
int64_t now_s(void);
void wait_s(int64_t seconds);

kmse_st retire(uint32_t version) KMSE_MUST_CHECK;
kmse_st destroy(uint32_t version) KMSE_MUST_CHECK;
kmse_st undo(uint32_t version) KMSE_MUST_CHECK;
/* A census that finds so many rows of version 1 and 2. */
kmse_st count(const char *scope, uint64_t one, uint64_t two) KMSE_MUST_CHECK;
kmse_st read_with(uint32_t version) KMSE_MUST_CHECK;

struct kmse_keyfile *read_file(void);
enum kmse_version_state state_of(uint32_t version);
/* The bytes of the file, for the caller to free. */
char *read_bytes(void);
/* Frees before. */
void expect_unchanged(char *before);

/* Version 1 was followed by 2, long ago, and no row is left of it. */
void make_retirable(void);
void make_retired(void);
void make_destroyed(void);

#endif
