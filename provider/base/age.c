/* SPDX-License-Identifier: Apache-2.0 */
/* Ages for people. */
#include "base/age.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    char letter;
    int64_t seconds;
} UNITS[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

void kmse_age_print(char out[KMSE_AGE_LEN], int64_t seconds)
{
    size_t i = sizeof(UNITS) / sizeof(UNITS[0]) - 1;
    while (i > 0 && seconds < 2 * UNITS[i].seconds)
        i--;
    snprintf(out, KMSE_AGE_LEN, "%" PRId64 "%c", seconds / UNITS[i].seconds,
             UNITS[i].letter);
}
