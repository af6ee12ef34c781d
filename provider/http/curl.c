/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP by libcurl. Nothing outside this folder knows it. */
#include "http/curl.h"

#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "base/bytes.h"
#include "http/answer.h"
#include "http/connection.h"
#include "http/guest.h"
#include "http/url.h"

/* One exchange. */
struct transfer {
    const struct kmse_http_request *request;
    struct kmse_url url;
    struct kmse_connection *connection;
    struct kmse_reception reception;
    uint64_t end_ms;
    unsigned disturbances; /* by forks */
};

/* --- what is the same for all ------------------------------------------- */

enum {
    CONNECTIONS_MAX = 4, /* kept by a handle; with two on trial: sockets */
    IDLE_MAX_S = 30      /* then a firewall may have forgotten it in silence */
};
static_assert(CONNECTIONS_MAX + 2 <= KMSE_CONNECTION_SOCKETS_MAX, "sockets");

struct setting {
    CURLoption option;
    long value;
};

static const struct setting ALWAYS[] = {
    {CURLOPT_NOSIGNAL, 1},
    {CURLOPT_FOLLOWLOCATION, 0},
    {CURLOPT_NETRC, CURL_NETRC_IGNORED},
    {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
    {CURLOPT_SSL_VERIFYPEER, 1},
    {CURLOPT_SSL_VERIFYHOST, 2},
    {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
    /* A session that is resumed is not verified again. */
    {CURLOPT_SSL_SESSIONID_CACHE, 0},
    /* A proxy is asked for a tunnel, and told nothing else. */
    {CURLOPT_HEADEROPT, CURLHEADER_SEPARATE},
    {CURLOPT_SUPPRESS_CONNECT_HEADERS, 1},
    {CURLOPT_MAXCONNECTS, CONNECTIONS_MAX},
    {CURLOPT_MAXAGE_CONN, IDLE_MAX_S},
    {CURLOPT_NOPROGRESS, 0},
};

static bool is_set_or_not_there(CURLcode code)
{
    return code == CURLE_OK || code == CURLE_NOT_BUILT_IN
           || code == CURLE_UNKNOWN_OPTION;
}

static bool set_up_always(CURL *easy)
{
    /* CloudTrail shows it with each use of a master key. */
    bool set = curl_easy_setopt(easy, CURLOPT_USERAGENT, "kms-envelope") == 0;
    for (size_t i = 0; set && i < sizeof(ALWAYS) / sizeof(ALWAYS[0]); i++)
        set = curl_easy_setopt(easy, ALWAYS[i].option, ALWAYS[i].value) == 0;
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A CA bundle that was changed is read anew. A name server that is silent
     * keeps libcurl's thread, but not ours. */
    set =
        set
        && is_set_or_not_there(
            curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L))
        && is_set_or_not_there(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
#endif
    return set;
}

/* --- headers and body --------------------------------------------------- */

/* The list holds an authorization and a session token. */
static void wipe_headers(struct curl_slist *list)
{
    for (struct curl_slist *item = list; item != NULL; item = item->next)
        OPENSSL_cleanse(item->data, strlen(item->data));
    curl_slist_free_all(list);
}

/* A list that cannot be made longer stays as it is. */
static bool append_all(struct curl_slist **list, const char *const *lines)
{
    for (; *lines != NULL; lines++) {
        struct curl_slist *longer = curl_slist_append(*list, *lines);
        if (longer == NULL)
            return false;
        *list = longer;
    }
    return true;
}

/* What libcurl would add of its own is taken out. */
static kmse_st make_headers(struct curl_slist **list,
                            const char *const *headers)
{
    static const char *const NONE[] = {"Expect:", "Content-Type:", NULL};
    struct curl_slist *made = NULL;
    bool whole = append_all(&made, NONE) && append_all(&made, headers);
    if (!whole) {
        wipe_headers(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    *list = made;
    return KMSE_OK;
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

/* --- TLS ---------------------------------------------------------------- */

static void *own_handle;

/*
 * OpenSSL, asked so, wipes the plaintext of TLS records that were read. The
 * function is looked up in what we depend on, since a libcurl with another
 * library for TLS brings none.
 */
static CURLcode wipe_records(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    union {
        void *symbol;
        uint64_t (*set_options)(SSL_CTX *ssl_ctx, uint64_t options);
    } found = {.symbol = dlsym(arg, "SSL_CTX_set_options")};
    if (found.symbol != NULL)
        found.set_options(ssl_ctx, SSL_OP_CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

static bool is_openssl_3(void)
{
    static const char NAME[] = "OpenSSL/";
    const char *name = curl_version_info(CURLVERSION_NOW)->ssl_version;
    return name != NULL && strncmp(name, NAME, strlen(NAME)) == 0
           && name[strlen(NAME)] >= '3' && name[strlen(NAME)] <= '9';
}

/*
 * A CA bundle that cannot be used must fail, not be passed by; and one that is
 * given stands alone, without the system's folder of CAs.
 */
static bool set_up_tls(CURL *easy, const struct kmse_http_request *request)
{
    if (is_openssl_3()
        && (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, wipe_records) != 0
            || curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, own_handle) != 0))
        return false;
    return request->ca_bundle == NULL
           || (curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_bundle) == 0
               && is_set_or_not_there(
                   curl_easy_setopt(easy, CURLOPT_CAPATH, NULL)));
}

/* --- where to, and how long --------------------------------------------- */

static bool set_up_protocol(CURL *easy, const struct kmse_url *url)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
                            url->plain ? "http" : "https")
           == 0;
#else
    return curl_easy_setopt(
               easy, CURLOPT_PROTOCOLS,
               (long)(url->plain ? CURLPROTO_HTTP : CURLPROTO_HTTPS))
           == 0;
#endif
}

/*
 * What may go in plain text because it stays on this machine must not leave it
 * by way of a proxy.
 */
static bool set_up_proxy(CURL *easy, const struct transfer *transfer)
{
    const struct kmse_http_request *request = transfer->request;
    const char *no_proxy = request->no_proxy;
    if (transfer->url.plain && transfer->url.loopback)
        no_proxy = "*";
    return (request->proxy == NULL
            || curl_easy_setopt(easy, CURLOPT_PROXY, request->proxy) == 0)
           && (no_proxy == NULL
               || curl_easy_setopt(easy, CURLOPT_NOPROXY, no_proxy) == 0);
}

static uint64_t now_ms(void)
{
    return kmse_clock_system.elapsed_ms(kmse_clock_system.arg);
}

/* To libcurl 0 is for ever. */
static long limit(const struct transfer *transfer, uint32_t ms)
{
    uint64_t now = now_ms();
    uint64_t left_ms = now < transfer->end_ms ? transfer->end_ms - now : 0;
    if (left_ms > ms)
        left_ms = ms;
    return left_ms > 0 ? (long)left_ms : 1;
}

static bool set_up_route(CURL *easy, const struct transfer *transfer)
{
    const struct kmse_http_request *request = transfer->request;
    return curl_easy_setopt(easy, CURLOPT_CURLU, transfer->url.handle) == 0
           && set_up_protocol(easy, &transfer->url)
           && set_up_proxy(easy, transfer)
           && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                               limit(transfer, request->connect_timeout_ms))
                  == 0
           && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                               limit(transfer, request->timeout_ms))
                  == 0;
}

/* --- the exchange ------------------------------------------------------- */

static bool is_interrupted(const struct transfer *transfer)
{
    return kmse_connections_ending()
           || kmse_interrupt_is_raised(transfer->request->interrupt);
}

static int look_for_interrupt(void *arg, curl_off_t to_get, curl_off_t got,
                              curl_off_t to_send, curl_off_t sent)
{
    const struct transfer *transfer = arg;
    (void)to_get;
    (void)got;
    (void)to_send;
    (void)sent;
    return atomic_load(&transfer->connection->disturbed)
                   || is_interrupted(transfer)
               ? 1
               : 0;
}

static bool set_up_callbacks(CURL *easy, struct transfer *transfer)
{
    struct kmse_reception *reception = &transfer->reception;
    return curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, kmse_reception_body)
               == 0
           && curl_easy_setopt(easy, CURLOPT_WRITEDATA, reception) == 0
           && curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
                               kmse_reception_head)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_HEADERDATA, reception) == 0
           && curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION,
                               look_for_interrupt)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer) == 0
           && kmse_connection_set_up(transfer->connection);
}

static bool set_up(struct transfer *transfer, struct curl_slist *headers)
{
    CURL *easy = transfer->connection->easy;
    transfer->connection->loopback_only =
        transfer->url.plain && !transfer->request->allow_http;
    return set_up_always(easy) && set_up_tls(easy, transfer->request)
           && set_up_method(easy, transfer->request)
           && set_up_route(easy, transfer) && set_up_callbacks(easy, transfer)
           && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) == 0;
}

/* What is quoted of a proxy's URL, or of a certificate, is not to be trusted.
 */
static void print_cause(char *out, size_t out_size,
                        const struct kmse_connection *connection, CURLcode code)
{
    const char *text = connection->error;
    if (text[0] == '\0' || strchr(text, '@') != NULL)
        text = curl_easy_strerror(code);
    kmse_printable_copy(out, out_size, (const uint8_t *)text, strlen(text));
}

/* libcurl's TLS takes its algorithms from the program's own context. */
static bool is_tls_possible(void)
{
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    EVP_MD_free(sha256);
    return sha256 != NULL;
}

static const char *hint(CURLcode code)
{
    if (code == CURLE_PEER_FAILED_VERIFICATION
        || code == CURLE_SSL_CACERT_BADFILE)
        return " (see aws-ca-bundle and AWS_CA_BUNDLE)";
    if (code == CURLE_SSL_CONNECT_ERROR && !is_tls_possible())
        return " (is OpenSSL's default provider active?)";
    return "";
}

static int reason_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return KMSE_R_KMS_TIMEOUT;
    case CURLE_PARTIAL_FILE:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
        return KMSE_R_KMS_ANSWER;
    default:
        return KMSE_R_KMS_UNREACHABLE;
    }
}

static kmse_st explain(CURLcode code, const struct transfer *transfer,
                       struct kmse_why *why)
{
    const struct kmse_reception *reception = &transfer->reception;
    const char *host = transfer->url.host;
    char cause[CURL_ERROR_SIZE];
    if (is_interrupted(transfer))
        return kmse_fail(why, KMSE_R_INTERRUPTED, "%s", host);
    if (reception->out_of_memory)
        return kmse_fail(why, KMSE_R_MEMORY, "%s", host);
    if (reception->too_long)
        return kmse_fail(why, KMSE_R_KMS_ANSWER,
                         "%s: the answer is longer than %zu bytes", host,
                         reception->body_max);
    if (transfer->connection->refused)
        return kmse_fail(why, KMSE_R_KMS_URI,
                         "%s is not this machine: only https:// goes there",
                         host);
    print_cause(cause, sizeof(cause), transfer->connection, code);
    return kmse_fail(why, reason_of(code), "%s: %s%s", host, cause, hint(code));
}

static kmse_st exchange(struct transfer *transfer, struct curl_slist *headers,
                        struct kmse_why *why)
{
    struct kmse_connection *connection = transfer->connection;
    struct kmse_interrupt *interrupt = transfer->request->interrupt;
    long status = 0;
    curl_easy_reset(connection->easy); /* connections stay */
    if (!set_up(transfer, headers))
        return kmse_fail(why, KMSE_R_KMS_HTTP, "libcurl lacks an option");
    kmse_interrupt_watch(interrupt, kmse_connection_wake, connection);
    CURLcode code = curl_easy_perform(connection->easy);
    kmse_interrupt_unwatch(interrupt);
    if (code != CURLE_OK)
        return explain(code, transfer, why);
    curl_easy_getinfo(connection->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->reception.answer.status = (int)status;
    return KMSE_OK;
}

static kmse_st run(struct transfer *transfer, struct kmse_why *why)
{
    struct curl_slist *headers = NULL;
    struct kmse_guest guest;
    KMSE_TRY(kmse_reception_init(&transfer->reception,
                                 transfer->request->answer_max));
    KMSE_TRY(make_headers(&headers, transfer->request->headers));
    kmse_guest_enter(&guest);
    kmse_st st = exchange(transfer, headers, why);
    /* Of what was lent to it, the handle keeps nothing. */
    curl_easy_reset(transfer->connection->easy);
    kmse_guest_leave(&guest);
    wipe_headers(headers);
    return st;
}

static kmse_st attempt(struct transfer *transfer, const void *owner,
                       bool *disturbed, struct kmse_why *why)
{
    enum { DISTURBANCES_MAX = 2 };
    kmse_st st = kmse_connection_take(&transfer->connection, owner,
                                      transfer->request->interrupt);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason, "%s", transfer->url.host);
    struct kmse_connection *connection = transfer->connection;
    atomic_store(&connection->steadfast,
                 transfer->disturbances >= DISTURBANCES_MAX);
    st = run(transfer, why);
    *disturbed = atomic_load(&connection->disturbed);
    kmse_connection_give_back(connection);
    return st;
}

static kmse_st attempt_until_undisturbed(struct transfer *transfer,
                                         const void *owner,
                                         struct kmse_why *why)
{
    for (;;) {
        bool disturbed = false;
        kmse_st st = attempt(transfer, owner, &disturbed, why);
        if (kmse_is_ok(st) || !disturbed || is_interrupted(transfer))
            return st;
        kmse_http_answer_wipe(&transfer->reception.answer);
        transfer->disturbances++;
    }
}

static kmse_st perform(void *arg, const struct kmse_http_request *request,
                       struct kmse_http_answer *answer, struct kmse_why *why)
{
    struct transfer transfer = {.request = request};
    KMSE_TRY(
        kmse_url_parse(&transfer.url, request->url, request->allow_http, why));
    transfer.end_ms = now_ms() + request->timeout_ms;
    kmse_st st = attempt_until_undisturbed(&transfer, arg, why);
    kmse_url_wipe(&transfer.url);
    if (!kmse_is_ok(st)) {
        kmse_http_answer_wipe(&transfer.reception.answer);
        return st;
    }
    *answer = transfer.reception.answer;
    return KMSE_OK;
}

/* --- the module --------------------------------------------------------- */

/* Whose connections they are: of one library context. */
struct client {
    char nothing;
};

static bool started;

static void start(void)
{
    Dl_info info;
    started = kmse_guest_start();
    if (dladdr(&own_handle, &info) != 0)
        own_handle = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
}

static void client_free(void *arg)
{
    kmse_connections_close(arg);
    free(arg);
}

kmse_st kmse_curl_open(struct kmse_http *http, struct kmse_why *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    if (!started)
        return kmse_fail(why, KMSE_R_KMS_HTTP, "libcurl does not start");
    struct client *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    *http = (struct kmse_http){made, perform, client_free, kmse_xml_texts};
    return KMSE_OK;
}
