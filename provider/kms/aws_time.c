/* SPDX-License-Identifier: Apache-2.0 */
/* Times as AWS's services and tools write them. */
#include "kms/aws_time.h"

#include <stddef.h>
#include <string.h>

#include "base/clock.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Two digits, less than limit. */
static bool take_two(const char **at, int limit, int *number)
{
    enum { BASE = 10 };
    const char *text = *at;
    if (!is_digit(text[0]) || !is_digit(text[1]))
        return false;
    *number = (text[0] - '0') * BASE + (text[1] - '0');
    *at += 2;
    return *number < limit;
}

/* Behind the seconds: a fraction, then the zone. */
static bool take_zone(const char *at, int *east_s)
{
    enum { HOURS = 24, MINUTES = 60, SECONDS = 60 };
    if (*at == '.' && is_digit(at[1]))
        for (at++; is_digit(*at);)
            at++;
    *east_s = 0;
    if (strcmp(at, "Z") == 0)
        return true;
    int sign = *at == '-' ? -1 : 1, hours = 0, minutes = 0;
    if (*at != '+' && *at != '-')
        return false;
    at++;
    if (!take_two(&at, HOURS, &hours))
        return false;
    if (*at == ':')
        at++;
    if (!take_two(&at, MINUTES, &minutes) || *at != '\0')
        return false;
    *east_s = sign * (hours * MINUTES + minutes) * SECONDS;
    return true;
}

kmse_st kmse_aws_time_parse(int64_t *wall_s, const char *text)
{
    /* The form that the clock knows, made of the first nineteen letters. */
    enum { SECONDS_END = KMSE_TIME_LEN - 2 };
    char plain[KMSE_TIME_LEN];
    int64_t seconds = 0;
    int east_s = 0;
    if (strnlen(text, SECONDS_END) < SECONDS_END
        || !take_zone(text + SECONDS_END, &east_s))
        return KMSE_ERR(KMSE_R_ENCODING);
    memcpy(plain, text, SECONDS_END);
    memcpy(plain + SECONDS_END, "Z", sizeof("Z"));
    KMSE_TRY(kmse_time_parse(&seconds, plain));
    if (seconds < east_s)
        return KMSE_ERR(KMSE_R_ENCODING);
    *wall_s = seconds - east_s;
    return KMSE_OK;
}
