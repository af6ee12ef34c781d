/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_STATUS_H
#define KMSE_TOOLS_STATUS_H

#include "keyring/keyfile.h"
#include "tools/usage.h"

/* Inside tools: what status.c and status_json.c both have, and say of it. */
struct kmse_status {
    const char *folder;
    struct kmse_keyfile *const *files;
    size_t count;
    struct kmse_usage usage;
    int64_t now_s;
};

/* JSON of all these keys, to stdout. */
kmse_st
kmse_status_print_json(const struct kmse_status *status) KMSE_MUST_CHECK;

#endif
