/* SPDX-License-Identifier: Apache-2.0 */
/* What the module kms-envelope-http.so exports. */
#include "http/connection.h"
#include "http/curl.h"

extern const struct kmse_http_module kmse_http_module;

__attribute__((visibility("default")))
const struct kmse_http_module kmse_http_module = {KMSE_HTTP_ABI, kmse_curl_open,
                                                  kmse_connections_stop};
