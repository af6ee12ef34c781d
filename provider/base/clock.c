/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clocks, and time as key files write it. */
#include "base/clock.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };

static uint64_t read_ms(clockid_t id)
{
    struct timespec ts = {0};
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * MS_PER_S + (uint64_t)ts.tv_nsec / NS_PER_MS;
}

static uint64_t system_elapsed_ms(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_BOOTTIME);
}

static uint64_t system_coarse_ms(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_MONOTONIC_COARSE);
}

static int64_t system_wall_s(void *arg)
{
    (void)arg;
    return (int64_t)time(NULL);
}

const struct kmse_clock kmse_clock_system = {
    .elapsed_ms = system_elapsed_ms,
    .coarse_ms = system_coarse_ms,
    .wall_s = system_wall_s,
    .arg = NULL,
};

/* --- the calendar ------------------------------------------------------- */

enum {
    YEAR_0 = 1900, /* of struct tm */
    MONTHS = 12,
    DAYS = 365,
    MARCH = 2, /* from here on a leap day moves nothing */
    ERA = 400, /* years, which all have as many days */
    ERA_DAYS = 146097,
    DAYS_TO_MARCH = 719468, /* 0000-03-01 to 1970-01-01 */
    S_PER_MINUTE = 60,
    S_PER_HOUR = 3600,
    S_PER_DAY = 86400,
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

/* Of a year that begins with March: the days before its month. */
static int64_t days_before(int64_t month)
{
    enum { FIVE_MONTHS = 5, THEIR_DAYS = 153 }; /* 31 30 31 30 31 */
    return (THEIR_DAYS * month + 2) / FIVE_MONTHS;
}

static int64_t days_of_years(int64_t years)
{
    enum { LEAP = 4, CENTURY = 100 };
    return DAYS * years + floor_div(years, LEAP) - floor_div(years, CENTURY)
           + floor_div(years, ERA);
}

int64_t kmse_time_join(const struct tm *utc)
{
    int64_t month = utc->tm_mon - MARCH, year = (int64_t)utc->tm_year + YEAR_0;
    if (month < 0) {
        month += MONTHS;
        year--;
    }
    int64_t days = days_of_years(year) + days_before(month) + utc->tm_mday - 1
                   - DAYS_TO_MARCH;
    return days * S_PER_DAY + (int64_t)utc->tm_hour * S_PER_HOUR
           + (int64_t)utc->tm_min * S_PER_MINUTE + utc->tm_sec;
}

/* The year and the month are guessed too early rather than too late. */
void kmse_time_split(struct tm *utc, int64_t wall_s)
{
    int64_t since_1970 = floor_div(wall_s, S_PER_DAY);
    int64_t second = wall_s - since_1970 * S_PER_DAY;
    int64_t days = since_1970 + DAYS_TO_MARCH;
    int64_t year = floor_div(days * ERA, ERA_DAYS) - 1, month = 0;
    while (days_of_years(year + 1) <= days)
        year++;
    days -= days_of_years(year);
    while (month + 1 < MONTHS && days_before(month + 1) <= days)
        month++;
    bool next_year = month + MARCH >= MONTHS;
    *utc = (struct tm){
        .tm_year = (int)(year - YEAR_0 + (next_year ? 1 : 0)),
        .tm_mon = (int)((month + MARCH) % MONTHS),
        .tm_mday = (int)(days - days_before(month) + 1),
        .tm_hour = (int)(second / S_PER_HOUR),
        .tm_min = (int)(second % S_PER_HOUR / S_PER_MINUTE),
        .tm_sec = (int)(second % S_PER_MINUTE),
    };
}

/* --- RFC 3339 ----------------------------------------------------------- */

static void put(char *out, size_t digits, int number)
{
    enum { BASE = 10 };
    for (size_t i = digits; i > 0; i--) {
        out[i - 1] = (char)('0' + number % BASE);
        number /= BASE;
    }
}

void kmse_time_print(char out[KMSE_TIME_LEN], int64_t wall_s)
{
    static const char FORM[KMSE_TIME_LEN] = "0000-00-00T00:00:00Z";
    enum { YEAR = 0, MONTH = 5, DAY = 8, HOUR = 11, MINUTE = 14, SECOND = 17 };
    enum { YEAR_DIGITS = 4, YEARS = 10000 };
    struct tm utc;
    kmse_time_split(&utc, wall_s);
    memcpy(out, FORM, sizeof(FORM));
    int year = (utc.tm_year + YEAR_0) % YEARS;
    put(out + YEAR, YEAR_DIGITS, year < 0 ? 0 : year);
    put(out + MONTH, 2, utc.tm_mon + 1);
    put(out + DAY, 2, utc.tm_mday);
    put(out + HOUR, 2, utc.tm_hour);
    put(out + MINUTE, 2, utc.tm_min);
    put(out + SECOND, 2, utc.tm_sec);
}

kmse_st kmse_time_parse(int64_t *wall_s, const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL || *end != '\0' || strlen(text) != KMSE_TIME_LEN - 1)
        return KMSE_ERR(KMSE_R_ENCODING);

    int64_t seconds = kmse_time_join(&tm);
    char again[KMSE_TIME_LEN];
    kmse_time_print(again, seconds);
    if (seconds < 0 || strcmp(again, text) != 0)
        return KMSE_ERR(KMSE_R_ENCODING);
    *wall_s = seconds;
    return KMSE_OK;
}
