/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of this host's agent, as it prints them. */
#include "tools/agent_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "kms/agent_client.h"
#include "kms_envelope/params.h"
#include "tools/common.h"

enum { TIMEOUT_MS = 5000 };
static const char PREFIX[] = "kms_envelope_agent_";

static bool copy_part(char *out, size_t size, const char *from, size_t len)
{
    if (len == 0 || len >= size)
        return false;
    memcpy(out, from, len);
    out[len] = '\0';
    return true;
}

static bool parse_sample(struct kmse_sample *sample, const char *line,
                         size_t len)
{
    size_t prefix = strlen(PREFIX);
    *sample = (struct kmse_sample){.labels = ""};
    if (len <= prefix || strncmp(line, PREFIX, prefix) != 0)
        return false;
    const char *end = line + len;
    const char *name = line + prefix;
    const char *at = name + strcspn(name, "{ \n");
    if (!copy_part(sample->name, KMSE_SAMPLE_NAME_LEN, name,
                   (size_t)(at - name)))
        return false;
    if (*at == '{') {
        const char *labels = at + 1;
        at = labels + strcspn(labels, "}\n");
        if (*at != '}'
            || !copy_part(sample->labels, KMSE_SAMPLE_LABELS_LEN, labels,
                          (size_t)(at - labels)))
            return false;
        at++;
    }
    if (at >= end || *at != ' '
        || !copy_part(sample->value, KMSE_SAMPLE_VALUE_LEN, at + 1,
                      (size_t)(end - at - 1)))
        return false;
    /* It goes into JSON as it stands. */
    return sample->value[strspn(sample->value, "0123456789.-")] == '\0';
}

bool kmse_sample_next(struct kmse_sample *sample, const char **at)
{
    while (**at != '\0') {
        const char *line = *at;
        size_t len = strcspn(line, "\n");
        *at = line + len + (line[len] == '\n' ? 1 : 0);
        if (parse_sample(sample, line, len))
            return true;
    }
    return false;
}

void kmse_sample_label(char out[KMSE_SAMPLE_VALUE_LEN],
                       const struct kmse_sample *sample, const char *name)
{
    char wanted[KMSE_SAMPLE_NAME_LEN];
    int n = snprintf(wanted, sizeof(wanted), "%s=\"", name);
    const char *found = strstr(sample->labels, wanted);
    out[0] = '\0';
    if (found != NULL) {
        found += n;
        (void)copy_part(out, KMSE_SAMPLE_VALUE_LEN, found,
                        strcspn(found, "\""));
    }
}

char *kmse_agent_socket(void)
{
    struct kmse_cnf *cnf = NULL;
    const char *found = NULL;
    if (!kmse_is_ok(kmse_cnf_open(&cnf, NULL, NULL)))
        return strdup(KMSE_AGENT_SOCKET);
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf) && found == NULL; i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        if (kmse_cnf_is_ours(provider))
            found = kmse_cnf_value(provider, KMSE_CONF_AGENT);
    }
    char *copy = strdup(found != NULL ? found : KMSE_AGENT_SOCKET);
    kmse_cnf_close(cnf);
    return copy;
}

kmse_st kmse_agent_text(char **text, const char *socket, struct kmse_why *why)
{
    const struct kmse_agent_address agent = {
        .path = socket,
        .timeout_ms = TIMEOUT_MS,
        .clock = &kmse_clock_system,
    };
    return kmse_agent_status(&agent, text, why);
}
