/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clocks, and time as key files write it. */
#include "base/clock.h"

#include <stdio.h>
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

void kmse_time_print(char out[KMSE_TIME_LEN], int64_t wall_s)
{
    time_t seconds = (time_t)wall_s;
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    strftime(out, KMSE_TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

kmse_st kmse_time_parse(int64_t *wall_s, const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL || *end != '\0' || strlen(text) != KMSE_TIME_LEN - 1)
        return KMSE_ERR(KMSE_R_ENCODING);

    int64_t seconds = (int64_t)timegm(&tm);
    char again[KMSE_TIME_LEN];
    kmse_time_print(again, seconds);
    if (seconds < 0 || strcmp(again, text) != 0)
        return KMSE_ERR(KMSE_R_ENCODING);
    *wall_s = seconds;
    return KMSE_OK;
}
