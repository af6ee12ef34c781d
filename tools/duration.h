/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_DURATION_H
#define KMSE_TOOLS_DURATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    KMSE_DURATION_MAX_S = 3660 * 86400,
    KMSE_DURATION_LEN = 24,
};

/*
 * "90", "90s", "10m", "2h", "7d": seconds, from 0 to ten years.
 * KMSE_R_PARAMETER for anything else.
 */
kmse_st kmse_duration_parse(int64_t *seconds, const char *text) KMSE_MUST_CHECK;

/* So that it is read again as the same: "90d", "36h", "61s". */
void kmse_duration_print(char out[KMSE_DURATION_LEN], int64_t seconds);

#endif
