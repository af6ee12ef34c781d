/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_TEST_H
#define KMSE_TEST_UNIT_TEST_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

static inline void expect_ok(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s", kmse_reason_text(st.reason));
}

static inline void expect_reason(kmse_st st, int reason)
{
    if (st.reason != reason)
        fail_msg("\"%s\" instead of \"%s\"", kmse_reason_text(st.reason),
                 kmse_reason_text(reason));
}

#endif
