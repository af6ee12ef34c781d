/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_CLOCK_H
#define KMSE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/status.h"

/*
 * Time, injected, so that tests need no sleep.
 *   elapsed_ms  never goes back, counts suspend (CLOCK_BOOTTIME): ages of keys
 *   coarse_ms   never goes back, a few ns a call: "is a look due?", only that
 *   wall_s      seconds since 1970 UTC: what key files hold
 */
struct kmse_clock {
    uint64_t (*elapsed_ms)(void *arg);
    uint64_t (*coarse_ms)(void *arg);
    int64_t (*wall_s)(void *arg);
    void *arg;
};

extern const struct kmse_clock kmse_clock_system;

/*
 * UTC by the calendar alone. The C library's gmtime_r, timegm and strftime take
 * its lock on time zones, which a child inherits taken if another thread had it
 * at the fork. The day of the week and of the year are left out.
 */
void kmse_time_split(struct tm *utc, int64_t wall_s);
int64_t kmse_time_join(const struct tm *utc);

enum { KMSE_TIME_LEN = sizeof("2026-01-01T00:00:00Z") };

/* RFC 3339, UTC, whole seconds, as in key files: "2026-01-01T00:00:00Z". */
void kmse_time_print(char out[KMSE_TIME_LEN], int64_t wall_s);

/* Exactly that form, a real date from 1970 to 9999, else KMSE_R_ENCODING. */
kmse_st kmse_time_parse(int64_t *wall_s, const char *text) KMSE_MUST_CHECK;

#endif
