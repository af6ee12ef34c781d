/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers over HTTP, on loopback. */
#include "agent/exporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/http.h>

enum { HEADERS_MAX = 8192, BODY_MAX = 0, TIMEOUT_S = 5 };

struct kmse_exporter {
    struct evhttp *http;
    char *(*text)(void *arg);
    void *arg;
};

static void free_text(const void *data, size_t len, void *text)
{
    (void)data;
    (void)len;
    free(text);
}

static void answer(struct evhttp_request *request, void *arg)
{
    struct kmse_exporter *exporter = arg;
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    char *text = exporter->text(exporter->arg);
    if (text == NULL
        || evbuffer_add_reference(out, text, strlen(text), free_text, text)
               != 0) {
        free(text);
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    evhttp_add_header(evhttp_request_get_output_headers(request),
                      "Content-Type", "text/plain; version=0.0.4");
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

static void refuse(struct evhttp_request *request, void *arg)
{
    (void)arg;
    evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

kmse_st kmse_exporter_new(struct kmse_exporter **exporter,
                          struct event_base *base, uint16_t port,
                          char *(*text)(void *arg), void *arg,
                          struct kmse_why *why)
{
    struct kmse_exporter *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->text = text;
    made->arg = arg;
    made->http = evhttp_new(base);
    if (made->http == NULL) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    evhttp_set_allowed_methods(made->http, EVHTTP_REQ_GET);
    evhttp_set_max_headers_size(made->http, HEADERS_MAX);
    evhttp_set_max_body_size(made->http, BODY_MAX);
    evhttp_set_timeout(made->http, TIMEOUT_S);
    evhttp_set_gencb(made->http, refuse, NULL);
    if (evhttp_set_cb(made->http, "/metrics", answer, made) != 0
        || evhttp_bind_socket(made->http, "127.0.0.1", port) != 0) {
        kmse_st st = kmse_fail(why, KMSE_R_CONFIG_VALUE, "metrics-port %u: %s",
                               (unsigned)port, strerror(errno));
        kmse_exporter_free(made);
        return st;
    }
    *exporter = made;
    return KMSE_OK;
}

void kmse_exporter_free(struct kmse_exporter *exporter)
{
    if (exporter == NULL)
        return;
    evhttp_free(exporter->http);
    free(exporter);
}
