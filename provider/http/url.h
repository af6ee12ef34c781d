/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_HTTP_URL_H
#define KMSE_HTTP_URL_H

#include <stdbool.h>

#include <curl/curl.h>

#include "base/status.h"

/* A URL that may be asked, as libcurl understands it. */
enum { KMSE_URL_HOST_LEN = 256 };
struct kmse_url {
    CURLU *handle;
    char host[KMSE_URL_HOST_LEN];
    bool plain;    /* http, not https */
    bool loopback; /* the host's name says so: see what it resolves to */
};

/*
 * https, or http to loopback, or any http if allow_http. No user in it: a
 * password would end up in messages. KMSE_R_KMS_URI on failure.
 */
kmse_st kmse_url_parse(struct kmse_url *url, const char *text, bool allow_http,
                       struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_url_wipe(struct kmse_url *url);

#endif
