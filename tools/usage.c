/* SPDX-License-Identifier: Apache-2.0 */
/* How much this host's processes have used their keys. */
#include "tools/usage.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/agent_text.h"
#include "tools/common.h"

static void ask(struct kmse_usage *usage, const char *socket)
{
    struct kmse_why why = {""};
    kmse_st st = kmse_agent_text(&usage->text, socket, &why);
    if (!kmse_is_ok(st))
        kmse_tool_hint("%s: %s: how much keys are used is not known, their age"
                       " is",
                       kmse_reason_text(st.reason), why.text);
}

void kmse_usage_open(struct kmse_usage *usage, const char *socket)
{
    *usage = (struct kmse_usage){0};
    if (socket != NULL) {
        ask(usage, socket);
        return;
    }
    char *usual = kmse_agent_socket();
    if (usual != NULL && access(usual, W_OK) == 0)
        ask(usage, usual);
    free(usual);
}

void kmse_usage_close(struct kmse_usage *usage)
{
    free(usage->text);
    *usage = (struct kmse_usage){0};
}

static void add(struct kmse_used *used, const struct kmse_sample *sample)
{
    enum { DECIMAL = 10 };
    char version_text[KMSE_SAMPLE_VALUE_LEN];
    kmse_sample_label(version_text, sample, "version");
    uint32_t version = (uint32_t)strtoul(version_text, NULL, DECIMAL);
    uint64_t value = strtoull(sample->value, NULL, DECIMAL);
    if (version > used->version)
        *used = (struct kmse_used){.version = version};
    if (version < used->version)
        return;
    if (strcmp(sample->name, "messages_total") == 0)
        used->messages = value;
    else
        used->bytes = value;
}

bool kmse_usage_of(struct kmse_used *used, const struct kmse_usage *usage,
                   const char *key)
{
    const char *at = usage->text != NULL ? usage->text : "";
    struct kmse_sample sample;
    char name[KMSE_SAMPLE_VALUE_LEN];
    *used = (struct kmse_used){0};
    while (kmse_sample_next(&sample, &at)) {
        kmse_sample_label(name, &sample, "key");
        if (strcmp(name, key) == 0
            && (strcmp(sample.name, "messages_total") == 0
                || strcmp(sample.name, "bytes_total") == 0))
            add(used, &sample);
    }
    return used->version != 0;
}

struct kmse_due kmse_usage_due(const struct kmse_usage *usage,
                               const struct kmse_keyfile *file, int64_t now_s)
{
    struct kmse_used used;
    bool known = kmse_usage_of(&used, usage, file->name);
    return kmse_due_of(file, now_s, known ? &used : NULL);
}

const char *kmse_usage_limit(const struct kmse_due *due)
{
    switch (due->state) {
    case KMSE_DUE_MESSAGES:
        return "max-messages";
    case KMSE_DUE_BYTES:
        return "max-bytes";
    default:
        return NULL;
    }
}
