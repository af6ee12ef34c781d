/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope status --live: the numbers of this host's agent. */
#include "tools/status_live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "agent/config.h"
#include "kms/agent_client.h"
#include "kms_envelope/params.h"
#include "tools/common.h"

enum { TIMEOUT_MS = 5000 };
static const char PREFIX[] = "kms_envelope_agent_";

/* One line of the agent's text: name{label="value",...} value. */
enum { NAME_LEN = 64, LABELS_LEN = 128, VALUE_LEN = 32 };
struct sample {
    char name[NAME_LEN];     /* without the prefix */
    char labels[LABELS_LEN]; /* as they stand, or "" */
    char value[VALUE_LEN];
};

/* --- the agent's text --------------------------------------------------- */

static bool copy_part(char *out, size_t size, const char *from, size_t len)
{
    if (len == 0 || len >= size)
        return false;
    memcpy(out, from, len);
    out[len] = '\0';
    return true;
}

static bool parse_sample(struct sample *sample, const char *line, size_t len)
{
    size_t prefix = strlen(PREFIX);
    *sample = (struct sample){.labels = ""};
    if (len <= prefix || strncmp(line, PREFIX, prefix) != 0)
        return false;
    const char *end = line + len;
    const char *name = line + prefix;
    const char *at = name + strcspn(name, "{ \n");
    if (!copy_part(sample->name, NAME_LEN, name, (size_t)(at - name)))
        return false;
    if (*at == '{') {
        const char *labels = at + 1;
        at = labels + strcspn(labels, "}\n");
        if (*at != '}'
            || !copy_part(sample->labels, LABELS_LEN, labels,
                          (size_t)(at - labels)))
            return false;
        at++;
    }
    if (at >= end || *at != ' '
        || !copy_part(sample->value, VALUE_LEN, at + 1, (size_t)(end - at - 1)))
        return false;
    /* It goes into JSON as it stands. */
    return sample->value[strspn(sample->value, "0123456789.-")] == '\0';
}

/* The next sample from *at on; comments are passed over. */
static bool next_sample(struct sample *sample, const char **at)
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

/* The value of a label, "" if it has none of that name. */
static void label(char out[VALUE_LEN], const struct sample *sample,
                  const char *name)
{
    char wanted[NAME_LEN];
    int n = snprintf(wanted, sizeof(wanted), "%s=\"", name);
    const char *found = strstr(sample->labels, wanted);
    out[0] = '\0';
    if (found != NULL) {
        found += n;
        (void)copy_part(out, VALUE_LEN, found, strcspn(found, "\""));
    }
}

/* --- a table ------------------------------------------------------------ */

static const struct {
    const char *metric, *title;
} COLUMNS[] = {
    {"key_fresh_seconds", "FRESH"}, {"key_serves_seconds", "SERVES"},
    {"key_failures", "FAILURES"},   {"messages_total", "MESSAGES"},
    {"bytes_total", "BYTES"},
};
enum { COLUMN_COUNT = sizeof(COLUMNS) / sizeof(COLUMNS[0]) };

/* The value of that metric for the same key and version; "-": it has none. */
static void find_value(char out[VALUE_LEN], const char *text,
                       const char *metric, const char *labels)
{
    struct sample sample;
    snprintf(out, VALUE_LEN, "-");
    while (next_sample(&sample, &text)) {
        if (strcmp(sample.name, metric) == 0
            && strcmp(sample.labels, labels) == 0) {
            /* Seconds are told to the millisecond: too much for people. */
            char *point = strchr(sample.value, '.');
            if (point != NULL)
                *point = '\0';
            snprintf(out, VALUE_LEN, "%s", sample.value);
        }
    }
}

static void print_row(const char *text, const struct sample *sample)
{
    char key[VALUE_LEN], version[VALUE_LEN], value[VALUE_LEN];
    label(key, sample, "key");
    label(version, sample, "version");
    printf("%-20s  %7s", key, version);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        find_value(value, text, COLUMNS[i].metric, sample->labels);
        printf("  %10s", value);
    }
    putchar('\n');
}

/* Whether a metric of an earlier column has that key and version already. */
static bool is_printed(const char *text, size_t column,
                       const struct sample *sample)
{
    char value[VALUE_LEN];
    for (size_t i = 0; i < column; i++) {
        find_value(value, text, COLUMNS[i].metric, sample->labels);
        if (strcmp(value, "-") != 0)
            return true;
    }
    return false;
}

static void print_keys(const char *text)
{
    printf("%-20s  %7s", "KEY", "VERSION");
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        printf("  %10s", COLUMNS[i].title);
    putchar('\n');
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        const char *at = text;
        struct sample sample;
        while (next_sample(&sample, &at)) {
            if (strcmp(sample.name, COLUMNS[i].metric) == 0
                && !is_printed(text, i, &sample))
                print_row(text, &sample);
        }
    }
}

static bool is_of_key(const struct sample *sample)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (strcmp(sample->name, COLUMNS[i].metric) == 0)
            return true;
    }
    return false;
}

static void print_table(const char *text)
{
    struct sample sample;
    print_keys(text);
    putchar('\n');
    while (next_sample(&sample, &text)) {
        if (!is_of_key(&sample))
            printf("%-28s %-24s %s\n", sample.name, sample.labels,
                   sample.value);
    }
}

/* --- JSON --------------------------------------------------------------- */

/* label="value",label="value" as an object. */
static bool add_labels(cJSON *object, const struct sample *sample)
{
    cJSON *labels = cJSON_AddObjectToObject(object, "labels");
    const char *at = sample->labels;
    while (labels != NULL && *at != '\0') {
        char name[NAME_LEN], value[VALUE_LEN];
        const char *equals = strchr(at, '=');
        if (equals == NULL
            || !copy_part(name, NAME_LEN, at, (size_t)(equals - at)))
            return false;
        label(value, sample, name);
        if (cJSON_AddStringToObject(labels, name, value) == NULL)
            return false;
        at += strcspn(at, ",");
        at += *at == ',' ? 1 : 0;
    }
    return labels != NULL;
}

static bool add_sample(cJSON *samples, const struct sample *sample)
{
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(samples, object)) {
        cJSON_Delete(object);
        return false;
    }
    return cJSON_AddStringToObject(object, "name", sample->name) != NULL
           && add_labels(object, sample)
           && cJSON_AddRawToObject(object, "value", sample->value) != NULL;
}

static kmse_st print_json(const char *socket, const char *text)
{
    struct sample sample;
    cJSON *root = cJSON_CreateObject();
    bool ok =
        root != NULL && cJSON_AddStringToObject(root, "socket", socket) != NULL;
    cJSON *samples = ok ? cJSON_AddArrayToObject(root, "samples") : NULL;
    ok = samples != NULL;
    while (ok && next_sample(&sample, &text))
        ok = add_sample(samples, &sample);
    char *json = ok ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (json == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    puts(json);
    cJSON_free(json);
    return KMSE_OK;
}

/* --- asking ------------------------------------------------------------- */

/* The one that openssl.cnf names, else the usual one. The caller frees it. */
static char *configured_socket(void)
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

static kmse_st ask(const char *socket, bool json, struct kmse_why *why)
{
    const struct kmse_agent_address agent = {
        .path = socket,
        .timeout_ms = TIMEOUT_MS,
        .clock = &kmse_clock_system,
    };
    char *text = NULL;
    kmse_st st = KMSE_OK;
    KMSE_TRY(kmse_agent_status(&agent, &text, why));
    if (json)
        st = print_json(socket, text);
    else
        print_table(text);
    free(text);
    return st;
}

int kmse_status_live(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    char *configured = options->socket == NULL ? configured_socket() : NULL;
    const char *socket = options->socket != NULL ? options->socket : configured;
    kmse_st st = socket != NULL ? ask(socket, options->json, &why)
                                : KMSE_ERR(KMSE_R_MEMORY);
    free(configured);
    return kmse_is_ok(st) ? KMSE_EXIT_DONE : kmse_tool_fail(st, &why);
}
