/* SPDX-License-Identifier: Apache-2.0 */
/* Results and their reasons. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *kmse_reason_text(int reason)
{
    switch (reason) {
#define KMSE_REASON_CASE(name, number, text)                                   \
    case number:                                                               \
        return text;
        KMSE_REASONS(KMSE_REASON_CASE)
#undef KMSE_REASON_CASE
    default:
        return "unknown reason";
    }
}

kmse_st kmse_fail(struct kmse_why *why, int reason, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(why->text, sizeof(why->text), format, args);
        va_end(args);
    }
    return KMSE_ERR(reason);
}
