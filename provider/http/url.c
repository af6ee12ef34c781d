/* SPDX-License-Identifier: Apache-2.0 */
/* Which URLs may be asked. */
#include "http/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool get(char *out, size_t out_size, CURLU *handle, CURLUPart part)
{
    char *text = NULL;
    bool fits = curl_url_get(handle, part, &text, 0) == CURLUE_OK
                && strlen(text) < out_size;
    if (fits)
        snprintf(out, out_size, "%s", text);
    curl_free(text);
    return fits;
}

static bool has(CURLU *handle, CURLUPart part)
{
    char *text = NULL;
    bool found = curl_url_get(handle, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return found;
}

/* Exactly these: 127.example.org and localhost.example.org are elsewhere. */
static bool is_loopback(const char *host)
{
    struct in_addr address;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
           || (inet_pton(AF_INET, host, &address) == 1
               && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET);
}

/* What stands before an '@' may be a password. */
static const char *shown(const char *text)
{
    return strchr(text, '@') == NULL ? text : "a URL with a user in it";
}

static kmse_st check(struct kmse_url *url, const char *text, bool allow_http,
                     struct kmse_why *why)
{
    enum { SCHEME_LEN = 8 };
    char scheme[SCHEME_LEN] = "";
    if (curl_url_set(url->handle, CURLUPART_URL, text, 0) != CURLUE_OK
        || !get(url->host, sizeof(url->host), url->handle, CURLUPART_HOST)
        || has(url->handle, CURLUPART_USER)
        || has(url->handle, CURLUPART_PASSWORD))
        return kmse_fail(why, KMSE_R_KMS_URI, "%.200s: must be https://HOST",
                         shown(text));
    bool known = get(scheme, sizeof(scheme), url->handle, CURLUPART_SCHEME);
    url->plain = strcmp(scheme, "http") == 0;
    url->loopback = is_loopback(url->host);
    if (!known || (!url->plain && strcmp(scheme, "https") != 0)
        || (url->plain && !url->loopback && !allow_http))
        return kmse_fail(why, KMSE_R_KMS_URI,
                         "%.200s: only https:// (or http:// to this machine)",
                         shown(text));
    return KMSE_OK;
}

kmse_st kmse_url_parse(struct kmse_url *url, const char *text, bool allow_http,
                       struct kmse_why *why)
{
    struct kmse_url made = {.handle = curl_url()};
    if (made.handle == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = check(&made, text, allow_http, why);
    if (!kmse_is_ok(st)) {
        kmse_url_wipe(&made);
        return st;
    }
    *url = made;
    return KMSE_OK;
}

void kmse_url_wipe(struct kmse_url *url)
{
    curl_url_cleanup(url->handle);
    *url = (struct kmse_url){.handle = NULL};
}
