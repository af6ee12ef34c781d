/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_AGENT_TEXT_H
#define KMSE_TOOLS_AGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Inside tools: the numbers of this host's agent, a text as Prometheus has it.
 */

/* The socket that openssl.cnf names, else the usual one. The caller frees it.
 */
char *kmse_agent_socket(void);
/* The caller frees *text. KMSE_R_AGENT: nobody answers there. */
kmse_st kmse_agent_text(char **text, const char *socket,
                        struct kmse_why *why) KMSE_MUST_CHECK;

/* One line of it: name{label="value",...} value. */
enum {
    KMSE_SAMPLE_NAME_LEN = 64,
    KMSE_SAMPLE_LABELS_LEN = 128,
    KMSE_SAMPLE_VALUE_LEN = 32,
};
struct kmse_sample {
    char name[KMSE_SAMPLE_NAME_LEN];     /* without the prefix */
    char labels[KMSE_SAMPLE_LABELS_LEN]; /* as they stand, or "" */
    char value[KMSE_SAMPLE_VALUE_LEN];
};

/* The next sample from *at on; comments are passed over. */
bool kmse_sample_next(struct kmse_sample *sample, const char **at);
/* The value of a label, "" if it has none of that name. */
void kmse_sample_label(char out[KMSE_SAMPLE_VALUE_LEN],
                       const struct kmse_sample *sample, const char *name);

#endif
