/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_AGE_H
#define KMSE_BASE_AGE_H

#include <stdint.h>

enum { KMSE_AGE_LEN = 24 };

/* "12s", "5m", "3h", "40d": in the largest unit that it fills twice. */
void kmse_age_print(char out[KMSE_AGE_LEN], int64_t seconds);

#endif
