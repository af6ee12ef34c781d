/* SPDX-License-Identifier: Apache-2.0 */
/* Several failures as one: a status, and a line that has something of each. */
#include "keyring/failures.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kms/kms.h"

static const char CUT[] = "...";
enum { CUT_LEN = sizeof(CUT) - 1 };

void kmse_failures_init(struct kmse_failures *failures, size_t expected,
                        const char *format, ...)
{
    va_list args;
    *failures = (struct kmse_failures){.expected = expected};
    va_start(args, format);
    vsnprintf(failures->why.text, sizeof(failures->why.text), format, args);
    va_end(args);
}

/* text[0..len) was cut off there: say so, and leave no half of a character. */
static void mark_cut(char *text, size_t len)
{
    if (len < CUT_LEN)
        return;
    size_t at = len - CUT_LEN;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    memcpy(text + at, CUT, sizeof(CUT));
}

static void add_text(struct kmse_failures *failures, const char *reason,
                     const char *detail)
{
    char *text = failures->why.text;
    size_t len = strlen(text);
    size_t room = (sizeof(failures->why.text) - 1 - len)
                  / (failures->expected - failures->count);
    char *at = text + len;
    int n = 0;
    if (failures->expected == 1)
        n = snprintf(at, room + 1, ": %s", detail);
    else
        n = snprintf(at, room + 1, "%s %zu) %s: %s",
                     failures->count == 0 ? ":" : ";", failures->count + 1,
                     reason, detail);
    if (n > 0 && (size_t)n > room)
        mark_cut(at, room);
}

static unsigned weight(kmse_st st)
{
    enum { SAID_NO, BROKE, MAY_YET_OPEN };
    switch (kmse_kms_classify(st)) {
    case KMSE_KMS_RETRYABLE:
        return MAY_YET_OPEN;
    case KMSE_KMS_DENIED:
    case KMSE_KMS_NOT_FOUND:
        return SAID_NO;
    case KMSE_KMS_FATAL:
        break;
    }
    return BROKE;
}

void kmse_failures_add(struct kmse_failures *failures, kmse_st st,
                       const struct kmse_why *of_attempt)
{
    if (failures->count == failures->expected)
        return;
    add_text(failures, kmse_reason_text(st.reason), of_attempt->text);
    if (failures->count == 0 || weight(st) > weight(failures->st))
        failures->st = st;
    failures->count++;
}

kmse_st kmse_failures_tell(const struct kmse_failures *failures,
                           struct kmse_why *why)
{
    if (failures->count == 0)
        return kmse_fail(why, KMSE_R_INTERNAL, "%s", failures->why.text);
    return kmse_fail(why, failures->st.reason, "%s", failures->why.text);
}
