/* SPDX-License-Identifier: Apache-2.0 */
/* How far a run is, for people. */
#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MS_PER_S = 1000, PERCENT = 100, ALMOST = 99 };

uint64_t kmse_progress_rate(const struct kmse_progress *progress)
{
    if (progress->elapsed_ms == 0)
        return 0;
    double rate =
        (double)progress->rows * MS_PER_S / (double)progress->elapsed_ms;
    return (uint64_t)rate;
}

/* An estimate that was too low does not make it end before its end. */
static uint64_t percent(const struct kmse_progress *progress)
{
    double share = (double)progress->rows / (double)progress->estimated;
    return share < 1 ? (uint64_t)(share * PERCENT) : ALMOST;
}

static void print_bar(char *out, size_t size, uint64_t done)
{
    enum { WIDTH = 24 };
    static const char FULL[] = "########################";
    static const char EMPTY[] = "........................";
    int filled = (int)(done * WIDTH / PERCENT);
    snprintf(out, size, "[%.*s%.*s]  ", filled, FULL, WIDTH - filled, EMPTY);
}

static void print_left(char *out, size_t size,
                       const struct kmse_progress *progress, uint64_t rate)
{
    enum { MINUTE = 60, HOUR = 3600 };
    if (rate == 0 || progress->estimated <= progress->rows)
        return;
    uint64_t s = (progress->estimated - progress->rows) / rate;
    if (s >= HOUR)
        snprintf(out, size, "  %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left",
                 s / HOUR, s % HOUR / MINUTE, s % MINUTE);
    else
        snprintf(out, size, "  %" PRIu64 ":%02" PRIu64 " left", s / MINUTE,
                 s % MINUTE);
}

void kmse_progress_print(char out[KMSE_PROGRESS_LEN],
                         const struct kmse_progress *progress, bool with_bar)
{
    enum { PART_LEN = 64 };
    char bar[PART_LEN] = "", share[PART_LEN] = "", left[PART_LEN] = "";
    uint64_t rate = kmse_progress_rate(progress);
    if (progress->estimated > 0) {
        uint64_t done = percent(progress);
        if (with_bar)
            print_bar(bar, sizeof(bar), done);
        snprintf(share, sizeof(share), "%" PRIu64 " %%  ", done);
        print_left(left, sizeof(left), progress, rate);
    }
    snprintf(out, KMSE_PROGRESS_LEN,
             "%.40s  %s%s%" PRIu64 " rows  %" PRIu64 "/s%s", progress->what,
             bar, share, progress->rows, rate, left);
}

void kmse_progress_key(char *out, size_t out_size, const uint8_t *in,
                       size_t in_len)
{
    enum { WIDEST = sizeof("\\xNN"), DOTS = sizeof("...") };
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < in_len; i++) {
        if (out_size - len < WIDEST + DOTS) {
            snprintf(out + len, out_size - len, "...");
            return;
        }
        bool is_plain = in[i] > ' ' && in[i] <= '~' && in[i] != '\\';
        len += (size_t)snprintf(out + len, out_size - len,
                                is_plain ? "%c" : "\\x%02x", in[i]);
    }
}
