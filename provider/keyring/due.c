/* SPDX-License-Identifier: Apache-2.0 */
/* When a key's next version is due. */
#include "keyring/due.h"

/* Of a limit: three quarters. Of the time: four fifths. */
enum { USED_PARTS = 4, SOON_PARTS = 5 };

/* 9999-12-31T23:59:59Z: what key files can say, and what follows from them. */
static const int64_t LAST_S = 253402300799;

static bool is_nearly_used(uint64_t used, uint64_t limit)
{
    return limit != 0 && used >= limit - limit / USED_PARTS;
}

static enum kmse_due_state of_age(const struct kmse_keyfile *file,
                                  int64_t now_s, int64_t at_s)
{
    int64_t fifth = (int64_t)file->policy.rotate_after_s / SOON_PARTS;
    if (at_s == 0)
        return KMSE_DUE_NEVER;
    if (now_s >= at_s)
        return KMSE_DUE_AGE;
    return now_s >= at_s - fifth ? KMSE_DUE_SOON : KMSE_DUE_LATER;
}

static int64_t due_at(const struct kmse_keyfile *file)
{
    int64_t after_s = (int64_t)file->policy.rotate_after_s;
    int64_t created_s = kmse_keyfile_newest(file)->created_s;
    if (after_s == 0)
        return 0;
    return created_s < LAST_S - after_s ? created_s + after_s : LAST_S;
}

struct kmse_due kmse_due_of(const struct kmse_keyfile *file, int64_t now_s,
                            const struct kmse_used *used)
{
    struct kmse_due due = {.at_s = due_at(file)};
    due.state = of_age(file, now_s, due.at_s);
    if (used == NULL || kmse_due_is_now(&due)
        || used->version != kmse_keyfile_newest(file)->number)
        return due;
    if (is_nearly_used(used->messages, file->policy.max_messages))
        due.state = KMSE_DUE_MESSAGES;
    else if (is_nearly_used(used->bytes, file->policy.max_bytes))
        due.state = KMSE_DUE_BYTES;
    return due;
}

bool kmse_due_is_now(const struct kmse_due *due)
{
    return due->state >= KMSE_DUE_AGE;
}
