/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of time as people write and read them. */
#include "tools/duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    char letter;
    int64_t seconds;
} UNITS[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
enum { UNIT_COUNT = sizeof(UNITS) / sizeof(UNITS[0]) };

/* 0 if it is none. */
static int64_t unit_seconds(const char *unit)
{
    if (unit[0] == '\0')
        return 1;
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (unit[0] == UNITS[i].letter && unit[1] == '\0')
            return UNITS[i].seconds;
    }
    return 0;
}

kmse_st kmse_duration_parse(int64_t *seconds, const char *text)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (*at - '0');
        if (value > KMSE_DURATION_MAX_S)
            return KMSE_ERR(KMSE_R_PARAMETER);
    }
    int64_t unit = unit_seconds(at);
    if (at == text || unit == 0 || value > KMSE_DURATION_MAX_S / unit)
        return KMSE_ERR(KMSE_R_PARAMETER);
    *seconds = value * unit;
    return KMSE_OK;
}

void kmse_duration_print(char out[KMSE_DURATION_LEN], int64_t seconds)
{
    size_t i = UNIT_COUNT - 1;
    while (i > 0 && seconds % UNITS[i].seconds != 0)
        i--;
    snprintf(out, KMSE_DURATION_LEN, "%" PRId64 "%c",
             seconds / UNITS[i].seconds, UNITS[i].letter);
}
