/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP by libcurl: the module kms-envelope-http.so. Nothing else knows curl. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "base/fork.h"
#include "kms/http.h"

enum { IDLE_MAX = 4, SOCKETS_MAX = 8 };

/* An easy handle, which keeps its connections, and the sockets it has open. */
struct connection {
    CURL *easy;
    int sockets[SOCKETS_MAX];
    size_t socket_count;
    char error[CURL_ERROR_SIZE];
};

struct client {
    pthread_mutex_t mutex; /* guards idle */
    struct connection *idle[IDLE_MAX];
    size_t idle_count;
    struct kmse_fork_hooks fork_hooks;
};

/* --- sockets: ours to know, since a forked child must drop them --------- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    struct connection *connection = arg;
    (void)purpose;
    if (connection->socket_count == SOCKETS_MAX)
        return CURL_SOCKET_BAD;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    connection->sockets[connection->socket_count++] = fd;
    return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    struct connection *connection = arg;
    for (size_t i = 0; i < connection->socket_count; i++) {
        if (connection->sockets[i] == fd)
            connection->sockets[i] =
                connection->sockets[--connection->socket_count];
    }
    return close(fd);
}

/*
 * To close a connection politely would speak into the parent's TLS, and after
 * OPENSSL_cleanup there is no TLS to speak with: the handle stays as it is.
 */
static void abandon(struct connection *connection)
{
    for (size_t i = 0; i < connection->socket_count; i++)
        close(connection->sockets[i]);
    connection->socket_count = 0;
}

static void connection_free(struct connection *connection)
{
    curl_easy_cleanup(connection->easy);
    free(connection);
}

static struct connection *connection_new(void)
{
    struct connection *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->easy = curl_easy_init();
    if (made->easy == NULL) {
        free(made);
        return NULL;
    }
    return made;
}

static struct connection *take(struct client *client)
{
    struct connection *connection = NULL;
    pthread_mutex_lock(&client->mutex);
    if (client->idle_count > 0)
        connection = client->idle[--client->idle_count];
    pthread_mutex_unlock(&client->mutex);
    return connection != NULL ? connection : connection_new();
}

static void give_back(struct client *client, struct connection *connection)
{
    pthread_mutex_lock(&client->mutex);
    bool kept = client->idle_count < IDLE_MAX;
    if (kept)
        client->idle[client->idle_count++] = connection;
    pthread_mutex_unlock(&client->mutex);
    if (!kept)
        connection_free(connection);
}

static void prepare_fork(void *arg)
{
    struct client *client = arg;
    pthread_mutex_lock(&client->mutex);
}

static void after_fork_parent(void *arg)
{
    struct client *client = arg;
    pthread_mutex_unlock(&client->mutex);
}

static void after_fork_child(void *arg)
{
    struct client *client = arg;
    while (client->idle_count > 0)
        abandon(client->idle[--client->idle_count]);
    pthread_mutex_unlock(&client->mutex);
}

/* --- one answer --------------------------------------------------------- */

struct reception {
    struct kmse_http_answer answer;
    size_t body_max;
    bool too_long, out_of_memory;
};

static bool grow(struct reception *reception, size_t len)
{
    struct kmse_http_answer *answer = &reception->answer;
    uint8_t *grown = malloc(answer->body_len + len + 1);
    if (grown == NULL)
        return false;
    if (answer->body != NULL) { /* not realloc: it leaves a copy behind */
        memcpy(grown, answer->body, answer->body_len);
        OPENSSL_cleanse(answer->body, answer->body_len);
        free(answer->body);
    }
    answer->body = grown;
    return true;
}

/*
 * libcurl's buffer, which we get here, is its own and outlives the transfer.
 * It may hold a data key, so it is wiped, though libcurl does not say we may:
 * the test that looks through a core dump keeps watch.
 */
static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct reception *reception = arg;
    struct kmse_http_answer *answer = &reception->answer;
    size_t len = size * count;
    reception->too_long = len > reception->body_max - answer->body_len;
    if (!reception->too_long)
        reception->out_of_memory = !grow(reception, len);
    bool taken = !reception->too_long && !reception->out_of_memory;
    if (taken) {
        memcpy(answer->body + answer->body_len, bytes, len);
        answer->body_len += len;
        answer->body[answer->body_len] = '\0';
    }
    OPENSSL_cleanse(bytes, len);
    return taken ? len : 0;
}

static void take_value(char out[KMSE_HTTP_HEADER_MAX], const char *line,
                       size_t len, const char *name)
{
    size_t name_len = strlen(name);
    if (len <= name_len || strncasecmp(line, name, name_len) != 0
        || line[name_len] != ':')
        return;
    line += name_len + 1;
    len -= name_len + 1;
    while (len > 0 && (line[0] == ' ' || line[0] == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (unsigned char)line[len - 1] <= ' ')
        len--;
    if (len < KMSE_HTTP_HEADER_MAX) {
        memcpy(out, line, len);
        out[len] = '\0';
    }
}

static size_t take_header(char *line, size_t size, size_t count, void *arg)
{
    struct reception *reception = arg;
    struct kmse_http_answer *answer = &reception->answer;
    size_t len = size * count;
    take_value(answer->date, line, len, "date");
    take_value(answer->retry_after, line, len, "retry-after");
    take_value(answer->request_id, line, len, "x-amzn-requestid");
    return len;
}

/* --- one request -------------------------------------------------------- */

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0
           || strcmp(host, "[::1]") == 0;
}

/* The URL's host into out; whether it may be asked. */
static kmse_st check_url(char *out, size_t out_size,
                         const struct kmse_http_request *request,
                         struct kmse_why *why)
{
    char *scheme = NULL, *host = NULL;
    CURLU *url = curl_url();
    bool parsed = url != NULL
                  && curl_url_set(url, CURLUPART_URL, request->url, 0) == 0
                  && curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == 0
                  && curl_url_get(url, CURLUPART_HOST, &host, 0) == 0;
    kmse_st st = KMSE_OK;
    if (!parsed)
        st = kmse_fail(why, KMSE_R_KMS_URI, "%.200s: not a URL", request->url);
    else if (strcmp(scheme, "https") != 0
             && (strcmp(scheme, "http") != 0
                 || (!request->allow_http && !is_loopback(host))))
        st = kmse_fail(why, KMSE_R_KMS_URI,
                       "%.200s: only https:// (or http:// to this machine)",
                       request->url);
    else
        snprintf(out, out_size, "%s", host);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
    return st;
}

/* libcurl frees nothing of a list that cannot be made longer. */
static kmse_st make_headers(struct curl_slist **list,
                            const char *const *headers)
{
    struct curl_slist *made = curl_slist_append(NULL, "Expect:");
    for (size_t i = 0; made != NULL && headers[i] != NULL; i++) {
        struct curl_slist *longer = curl_slist_append(made, headers[i]);
        if (longer == NULL)
            curl_slist_free_all(made);
        made = longer;
    }
    *list = made;
    return made != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

/* The list holds an authorization and a session token. */
static void wipe_headers(struct curl_slist *list)
{
    for (struct curl_slist *item = list; item != NULL; item = item->next)
        OPENSSL_cleanse(item->data, strlen(item->data));
    curl_slist_free_all(list);
}

/*
 * OpenSSL, asked so, wipes the plaintext of TLS records that were read. It is
 * asked by name: with GnuTLS for TLS there is no such function, nor any need.
 */
static CURLcode wipe_records(CURL *easy, void *ssl_ctx, void *arg)
{
    static const uint64_t CLEANSE_PLAINTEXT = 1U << 1; /* SSL_OP_... */
    (void)easy;
    union {
        void *symbol;
        uint64_t (*set_options)(void *ssl_ctx, uint64_t options);
    } found = {.symbol = dlsym(arg, "SSL_CTX_set_options")};
    if (found.symbol != NULL)
        found.set_options(ssl_ctx, CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

static void *own_handle;
static bool curl_ready;

/* Once a process and never undone: others in it may use libcurl too. */
static void start_curl(void)
{
    Dl_info info;
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (dladdr(&own_handle, &info) != 0)
        own_handle = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
}

static bool set_up_method(CURL *easy, const struct kmse_http_request *request)
{
    if (strcmp(request->method, "GET") == 0)
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == 0;
    const void *body = request->body != NULL ? (const void *)request->body : "";
    return curl_easy_setopt(easy, CURLOPT_POST, 1L) == 0
           && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE,
                               (long)request->body_len)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body) == 0;
}

/* A CA bundle that cannot be used must fail, not be passed by. */
static bool set_up_tls(CURL *easy, const struct kmse_http_request *request)
{
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);
    if (version->ssl_version != NULL
        && strncmp(version->ssl_version, "OpenSSL/3", 9) == 0
        && (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, wipe_records) != 0
            || curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, own_handle) != 0))
        return false;
    return curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == 0
           && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == 0
           && curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                               (long)CURL_SSLVERSION_TLSv1_2)
                  == 0
           && (request->ca_bundle == NULL
               || curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_bundle)
                      == 0);
}

static bool set_up_transfer(CURL *easy, const struct kmse_http_request *request)
{
    return curl_easy_setopt(easy, CURLOPT_URL, request->url) == 0
           && curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == 0
           && curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == 0
           && curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                               (long)request->connect_timeout_ms)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                               (long)request->timeout_ms)
                  == 0
           && (!request->no_proxy
               || curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == 0);
}

static bool set_up_callbacks(struct connection *connection,
                             struct reception *reception)
{
    CURL *easy = connection->easy;
    return curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == 0
           && curl_easy_setopt(easy, CURLOPT_WRITEDATA, reception) == 0
           && curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) == 0
           && curl_easy_setopt(easy, CURLOPT_HEADERDATA, reception) == 0
           && curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, connection) == 0
           && curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, connection) == 0
           && curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, connection->error)
                  == 0;
}

static kmse_st explain(CURLcode code, const struct connection *connection,
                       const struct reception *reception, const char *host,
                       struct kmse_why *why)
{
    const char *cause = connection->error[0] != '\0' ? connection->error
                                                     : curl_easy_strerror(code);
    if (reception->out_of_memory)
        return kmse_fail(why, KMSE_R_MEMORY, "%s", host);
    if (reception->too_long)
        return kmse_fail(why, KMSE_R_KMS_ANSWER,
                         "%s: the answer is longer than %zu bytes", host,
                         reception->body_max);
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return kmse_fail(why, KMSE_R_KMS_TIMEOUT, "%s: %s", host, cause);
    case CURLE_PARTIAL_FILE:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return kmse_fail(why, KMSE_R_KMS_ANSWER, "%s: %s", host, cause);
    case CURLE_SSL_CACERT_BADFILE:
        return kmse_fail(why, KMSE_R_KMS_UNREACHABLE,
                         "%s: %s: see aws-ca-bundle and AWS_CA_BUNDLE", host,
                         cause);
    case CURLE_SSL_CONNECT_ERROR:
        return kmse_fail(why, KMSE_R_KMS_UNREACHABLE,
                         "%s: %s (is OpenSSL's default provider active?)", host,
                         cause);
    default:
        return kmse_fail(why, KMSE_R_KMS_UNREACHABLE, "%s: %s", host, cause);
    }
}

static kmse_st exchange(struct connection *connection,
                        const struct kmse_http_request *request,
                        const char *host, struct reception *reception,
                        struct kmse_why *why)
{
    struct curl_slist *headers = NULL;
    CURL *easy = connection->easy;
    KMSE_TRY(make_headers(&headers, request->headers));
    connection->error[0] = '\0';
    curl_easy_reset(easy); /* connections stay */
    kmse_st st = KMSE_ERR(KMSE_R_MEMORY);
    if (curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) == 0
        && set_up_method(easy, request) && set_up_tls(easy, request)
        && set_up_transfer(easy, request)
        && set_up_callbacks(connection, reception)) {
        CURLcode code = curl_easy_perform(easy);
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        reception->answer.status = (int)status;
        st = code == CURLE_OK ? KMSE_OK
                              : explain(code, connection, reception, host, why);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    wipe_headers(headers);
    return st;
}

static kmse_st perform(void *arg, const struct kmse_http_request *request,
                       struct kmse_http_answer *answer, struct kmse_why *why)
{
    enum { HOST_LEN = 256 };
    struct client *client = arg;
    char host[HOST_LEN] = "";
    KMSE_TRY(check_url(host, sizeof(host), request, why));
    struct connection *connection = take(client);
    if (connection == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    struct reception reception = {.body_max = request->answer_max};
    kmse_st st = grow(&reception, 0) ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_is_ok(st)) {
        reception.answer.body[0] = '\0';
        st = exchange(connection, request, host, &reception, why);
    }
    give_back(client, connection);
    if (!kmse_is_ok(st)) {
        kmse_http_answer_wipe(&reception.answer);
        return st;
    }
    *answer = reception.answer;
    return KMSE_OK;
}

/* --- the module --------------------------------------------------------- */

static void client_free(void *arg)
{
    struct client *client = arg;
    kmse_fork_unwatch(&client->fork_hooks);
    /* 0: OPENSSL_cleanup is under way, or done. */
    bool tls_lives = OPENSSL_init_crypto(0, NULL) != 0;
    while (client->idle_count > 0) {
        struct connection *connection = client->idle[--client->idle_count];
        if (tls_lives)
            connection_free(connection);
        else
            abandon(connection);
    }
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

static kmse_st client_open(struct kmse_http *http, struct kmse_why *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_curl);
    if (!curl_ready)
        return kmse_fail(why, KMSE_R_KMS_HTTP, "libcurl does not start");
    struct client *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->fork_hooks = (struct kmse_fork_hooks){
        .prepare = prepare_fork,
        .parent = after_fork_parent,
        .child = after_fork_child,
        .arg = made,
    };
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    kmse_st st = kmse_fork_watch(&made->fork_hooks);
    if (!kmse_is_ok(st)) {
        pthread_mutex_destroy(&made->mutex);
        free(made);
        return st;
    }
    *http = (struct kmse_http){made, perform, client_free};
    return KMSE_OK;
}

extern const struct kmse_http_module kmse_http_module;

__attribute__((visibility("default")))
const struct kmse_http_module kmse_http_module = {KMSE_HTTP_ABI, client_open};
