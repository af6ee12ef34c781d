/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope status --live: the numbers of this host's agent. */
#include "tools/status_live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "tools/agent_text.h"
#include "tools/common.h"

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
static void find_value(char out[KMSE_SAMPLE_VALUE_LEN], const char *text,
                       const char *metric, const char *labels)
{
    struct kmse_sample sample;
    snprintf(out, KMSE_SAMPLE_VALUE_LEN, "-");
    while (kmse_sample_next(&sample, &text)) {
        if (strcmp(sample.name, metric) == 0
            && strcmp(sample.labels, labels) == 0) {
            /* Seconds are told to the millisecond: too much for people. */
            char *point = strchr(sample.value, '.');
            if (point != NULL)
                *point = '\0';
            snprintf(out, KMSE_SAMPLE_VALUE_LEN, "%s", sample.value);
        }
    }
}

static void print_row(const char *text, const struct kmse_sample *sample)
{
    char key[KMSE_SAMPLE_VALUE_LEN], version[KMSE_SAMPLE_VALUE_LEN],
        value[KMSE_SAMPLE_VALUE_LEN];
    kmse_sample_label(key, sample, "key");
    kmse_sample_label(version, sample, "version");
    printf("%-20s  %7s", key, version);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        find_value(value, text, COLUMNS[i].metric, sample->labels);
        printf("  %10s", value);
    }
    putchar('\n');
}

/* Whether a metric of an earlier column has that key and version already. */
static bool is_printed(const char *text, size_t column,
                       const struct kmse_sample *sample)
{
    char value[KMSE_SAMPLE_VALUE_LEN];
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
        struct kmse_sample sample;
        while (kmse_sample_next(&sample, &at)) {
            if (strcmp(sample.name, COLUMNS[i].metric) == 0
                && !is_printed(text, i, &sample))
                print_row(text, &sample);
        }
    }
}

static bool is_of_key(const struct kmse_sample *sample)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (strcmp(sample->name, COLUMNS[i].metric) == 0)
            return true;
    }
    return false;
}

static void print_table(const char *text)
{
    struct kmse_sample sample;
    print_keys(text);
    putchar('\n');
    while (kmse_sample_next(&sample, &text)) {
        if (!is_of_key(&sample))
            printf("%-28s %-24s %s\n", sample.name, sample.labels,
                   sample.value);
    }
}

/* --- JSON --------------------------------------------------------------- */

/* label="value",label="value" as an object. */
static bool add_labels(cJSON *object, const struct kmse_sample *sample)
{
    cJSON *labels = cJSON_AddObjectToObject(object, "labels");
    const char *at = sample->labels;
    while (labels != NULL && *at != '\0') {
        char name[KMSE_SAMPLE_NAME_LEN], value[KMSE_SAMPLE_VALUE_LEN];
        const char *equals = strchr(at, '=');
        if (equals == NULL || equals - at >= KMSE_SAMPLE_NAME_LEN)
            return false;
        snprintf(name, sizeof(name), "%.*s", (int)(equals - at), at);
        kmse_sample_label(value, sample, name);
        if (cJSON_AddStringToObject(labels, name, value) == NULL)
            return false;
        at += strcspn(at, ",");
        at += *at == ',' ? 1 : 0;
    }
    return labels != NULL;
}

static bool add_sample(cJSON *samples, const struct kmse_sample *sample)
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
    struct kmse_sample sample;
    cJSON *root = cJSON_CreateObject();
    bool ok =
        root != NULL && cJSON_AddStringToObject(root, "socket", socket) != NULL;
    cJSON *samples = ok ? cJSON_AddArrayToObject(root, "samples") : NULL;
    ok = samples != NULL;
    while (ok && kmse_sample_next(&sample, &text))
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

static kmse_st ask(const char *socket, bool json, struct kmse_why *why)
{
    char *text = NULL;
    kmse_st st = KMSE_OK;
    KMSE_TRY(kmse_agent_text(&text, socket, why));
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
    char *configured = options->socket == NULL ? kmse_agent_socket() : NULL;
    const char *socket = options->socket != NULL ? options->socket : configured;
    kmse_st st = socket != NULL ? ask(socket, options->json, &why)
                                : KMSE_ERR(KMSE_R_MEMORY);
    free(configured);
    return kmse_is_ok(st) ? KMSE_EXIT_DONE : kmse_tool_fail(st, &why);
}
