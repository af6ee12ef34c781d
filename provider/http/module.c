/* SPDX-License-Identifier: Apache-2.0 */
/* What the module kms-envelope-http.so exports. */
#include "http/connection.h"
#include "http/curl.h"

extern const struct kmse_http_module kmse_http_module;

__attribute__((visibility("default")))
const struct kmse_http_module kmse_http_module = {
    .abi = KMSE_HTTP_ABI,
    .open = kmse_curl_open,
    .before_fork = kmse_connections_before_fork,
    .after_fork_parent = kmse_connections_after_fork_parent,
    .after_fork_child = kmse_connections_after_fork_child,
    .stop = kmse_connections_stop,
};
