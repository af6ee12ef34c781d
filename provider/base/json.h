/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_JSON_H
#define KMSE_BASE_JSON_H

#include <stddef.h>

#include <cjson/cJSON.h>

/*
 * One JSON value (RFC 8259) and nothing after it. NULL if it is not that, or
 * if a string has a NUL in it: cJSON would end the string there and not tell
 * of what it dropped. json[json_len] must be NUL, as kmse_file_read leaves it.
 */
cJSON *kmse_json_parse(const char *json, size_t json_len);

/* Delete a value that may have secrets in its strings; NULL is fine. */
void kmse_json_wipe(cJSON *value);

#endif
