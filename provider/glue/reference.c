/* SPDX-License-Identifier: Apache-2.0 */
/* URIs of keys. */
#include "glue/reference.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "keyring/keyfile.h"

static const char SCHEME[] = KMSE_STORE_SCHEME ":";
static const char VERSION[] = "version=";
static const char COPIES[] = "copies=";
enum {
    SCHEME_LEN = sizeof(SCHEME) - 1,
    VERSION_LEN = sizeof(VERSION) - 1,
    COPIES_LEN = sizeof(COPIES) - 1,
    SHOWN_LEN = 160, /* of a URI that is none */
};

static kmse_st bad_uri(const char *uri, const char *problem,
                       struct kmse_why *why)
{
    char shown[SHOWN_LEN];
    kmse_printable_copy(shown, sizeof(shown), (const uint8_t *)uri,
                        strlen(uri));
    return kmse_fail(why, KMSE_R_PARAMETER,
                     "%s: %s; a key is %sNAME, %sNAME?version=N, with "
                     "?copies=yes for a file that has its wrapped copies",
                     shown, problem, SCHEME, SCHEME);
}

/* One decimal number, written in its one way. */
static bool read_version(uint32_t *version, const char *text, size_t len)
{
    uint32_t value = 0;
    if (len == 0 || text[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
        if (value > KMSE_VERSION_MAX)
            return false;
    }
    *version = value;
    return true;
}

static bool begins_with(const char *text, size_t len, const char *prefix,
                        size_t prefix_len)
{
    return len >= prefix_len && memcmp(text, prefix, prefix_len) == 0;
}

/* "version=2" or "copies=yes", each once. */
static bool read_pair(struct kmse_reference *reference, const char *pair,
                      size_t len)
{
    if (begins_with(pair, len, VERSION, VERSION_LEN))
        return reference->version == 0
               && read_version(&reference->version, pair + VERSION_LEN,
                               len - VERSION_LEN);
    bool is_copies = len == COPIES_LEN + strlen("yes")
                     && begins_with(pair, len, COPIES, COPIES_LEN)
                     && memcmp(pair + COPIES_LEN, "yes", strlen("yes")) == 0;
    bool is_new = !reference->with_copies;
    reference->with_copies = true;
    return is_copies && is_new;
}

static bool read_query(struct kmse_reference *reference, const char *query)
{
    for (;;) {
        size_t len = strcspn(query, "&");
        if (!read_pair(reference, query, len))
            return false;
        if (query[len] == '\0')
            return true;
        query += len + 1;
    }
}

kmse_st kmse_reference_parse(struct kmse_reference *reference, const char *uri,
                             struct kmse_why *why)
{
    struct kmse_reference read = {.name = ""};
    if (strncasecmp(uri, SCHEME, SCHEME_LEN) != 0)
        return bad_uri(uri, "not the URI of a key", why);
    const char *name = uri + SCHEME_LEN;
    size_t len = strcspn(name, "?");
    if (len > KMSE_KEY_NAME_MAX)
        return bad_uri(uri, "not a key's name ([a-z0-9._-], at most 31)", why);
    memcpy(read.name, name, len);
    if (len > 0 && !kmse_key_name_is_valid(read.name))
        return bad_uri(uri, "not a key's name ([a-z0-9._-], at most 31)", why);
    if (name[len] == '?' && (len == 0 || !read_query(&read, name + len + 1)))
        return bad_uri(uri, "not what can be asked of a key", why);
    *reference = read;
    return KMSE_OK;
}

void kmse_reference_print(char out[KMSE_REFERENCE_LEN],
                          const struct kmse_reference *reference)
{
    char version[sizeof("?version=16777215")] = "";
    if (reference->version != 0)
        snprintf(version, sizeof(version), "?%s%u", VERSION,
                 reference->version & KMSE_VERSION_MAX);
    const char *copies = "";
    if (reference->with_copies)
        copies = reference->version != 0 ? "&copies=yes" : "?copies=yes";
    snprintf(out, KMSE_REFERENCE_LEN, "%s%s%s%s", SCHEME, reference->name,
             version, copies);
}
