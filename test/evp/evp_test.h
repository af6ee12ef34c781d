/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_EVP_TEST_H
#define KMSE_TEST_EVP_TEST_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/evp_env.h"

/* Fail with all that OpenSSL has to say. */
static inline void expect_evp(int ok, const char *what)
{
    char errors[ENV_ERRORS_LEN];
    if (ok <= 0)
        fail_msg("%s: %s", what, evp_errors(errors));
}
#define EXPECT(call) expect_evp((call), #call)

/* The call fails, and the error queue says so in these words. */
static inline void expect_refused(int ok, const char *words, const char *what)
{
    char errors[ENV_ERRORS_LEN];
    evp_errors(errors);
    if (ok > 0)
        fail_msg("%s worked", what);
    if (strstr(errors, words) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", what, errors, words);
}
#define REFUSED(call, words) expect_refused((call), (words), #call)

/* Bytes that repeat late, so that a piece in the wrong place is seen. */
static inline void fill_pattern(uint8_t *bytes, size_t len)
{
    uint32_t x = 2463534242U;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bytes[i] = (uint8_t)x;
    }
}

#endif
