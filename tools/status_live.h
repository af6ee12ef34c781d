/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_STATUS_LIVE_H
#define KMSE_TOOLS_STATUS_LIVE_H

#include "tools/options.h"

/* Inside tools: kms-envelope status --live. An exit code. */
int kmse_status_live(const struct kmse_options *options);

#endif
