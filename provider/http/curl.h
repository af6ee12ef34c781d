/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_HTTP_CURL_H
#define KMSE_HTTP_CURL_H

#include "kms/http.h"

/* struct kmse_http_module's open. */
kmse_st kmse_curl_open(struct kmse_http *http,
                       struct kmse_why *why) KMSE_MUST_CHECK;

#endif
