/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_TIME_H
#define KMSE_KMS_AWS_TIME_H

#include <stdint.h>

#include "base/status.h"

/*
 * When credentials expire: ISO 8601 as AWS's services and tools write it, a
 * date and a time with its zone, "2026-01-01T00:00:00Z", also with a fraction
 * of a second, which is cut off, and with an offset: "+01:00", "+0100".
 * Everything else is KMSE_R_ENCODING.
 */
kmse_st kmse_aws_time_parse(int64_t *wall_s, const char *text) KMSE_MUST_CHECK;

#endif
