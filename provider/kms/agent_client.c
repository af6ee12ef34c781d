/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the agent: connect, one packet there, the answer, gone. */
#include "kms/agent_client.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/interrupt.h"
#include "kms/agent_wire.h"

static_assert(KMSE_AGENT_PATH_MAX
                  == sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1,
              "what a socket's path can be");

enum { RETRY_CONNECT_MS = 5 };

struct exchange {
    const struct kmse_agent_address *agent;
    struct kmse_interrupt *interrupt; /* of this thread, or NULL */
    uint64_t deadline_ms;
    int fd;
};

static uint64_t now_ms(const struct kmse_agent_address *agent)
{
    return agent->clock->elapsed_ms(agent->clock->arg);
}

static kmse_st cannot(const struct exchange *x, const char *what, int error,
                      struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_AGENT, "%.107s: %s: %s", x->agent->path, what,
                     strerror(error));
}

/* --- waiting ------------------------------------------------------------ */

static kmse_st check_time(const struct exchange *x, struct kmse_why *why)
{
    if (kmse_interrupt_is_raised(x->interrupt))
        return kmse_fail(why, KMSE_R_INTERRUPTED, "%.107s", x->agent->path);
    if (now_ms(x->agent) >= x->deadline_ms)
        return kmse_fail(why, KMSE_R_AGENT, "%.107s: no answer within %llu ms",
                         x->agent->path,
                         (unsigned long long)x->agent->timeout_ms);
    return KMSE_OK;
}

static void hang_up(void *arg)
{
    const struct exchange *x = arg;
    shutdown(x->fd, SHUT_RDWR);
}

/* Until the socket is ready, or closed, or time is up. */
static kmse_st wait_for(struct exchange *x, short events, struct kmse_why *why)
{
    struct pollfd waited = {.fd = x->fd, .events = events};
    uint64_t now = now_ms(x->agent);
    uint64_t left = now < x->deadline_ms ? x->deadline_ms - now : 0;
    kmse_interrupt_watch(x->interrupt, hang_up, x);
    int ready = poll(&waited, 1, (int)left);
    int error = errno;
    kmse_interrupt_unwatch(x->interrupt);
    if (ready < 0 && error != EINTR)
        return cannot(x, "waiting", error, why);
    if (ready == 0)
        x->deadline_ms = 0; /* also where the clock stands still */
    return check_time(x, why);
}

/* --- connecting --------------------------------------------------------- */

/* The folder decides who may put a socket there. */
static bool owns_folder(const char *path, uid_t uid)
{
    char folder[KMSE_AGENT_PATH_MAX + 1];
    struct stat status;
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        return false;
    slash[slash == folder ? 1 : 0] = '\0';
    return stat(folder, &status) == 0 && status.st_uid == uid;
}

static kmse_st check_server(const struct exchange *x, struct kmse_why *why)
{
    struct ucred server = {.uid = (uid_t)-1};
    socklen_t len = sizeof(server);
    if (getsockopt(x->fd, SOL_SOCKET, SO_PEERCRED, &server, &len) != 0)
        return cannot(x, "SO_PEERCRED", errno, why);
    if (server.uid == 0 || server.uid == geteuid()
        || owns_folder(x->agent->path, server.uid))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_AGENT,
                     "%.107s: who listens there is user %u, and neither root "
                     "nor the owner of the folder: not trusted",
                     x->agent->path, (unsigned)server.uid);
}

/* A full queue of connections (EAGAIN) is a moment's matter. */
static kmse_st connect_within(struct exchange *x, struct kmse_why *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(x->agent->path);
    if (len > KMSE_AGENT_PATH_MAX)
        return cannot(x, "its path", ENAMETOOLONG, why);
    memcpy(address.sun_path, x->agent->path, len);
    while (connect(x->fd, (const struct sockaddr *)&address, sizeof(address))
           != 0) {
        if (errno != EAGAIN && errno != EINTR)
            return cannot(x, "cannot connect", errno, why);
        KMSE_TRY(check_time(x, why));
        kmse_interrupt_sleep(x->interrupt, RETRY_CONNECT_MS);
    }
    return check_server(x, why);
}

static kmse_st send_request(struct exchange *x,
                            const struct kmse_agent_request *request,
                            struct kmse_why *why)
{
    uint8_t packet[KMSE_AGENT_REQUEST_MAX];
    size_t len = 0;
    KMSE_TRY(kmse_agent_request_encode(packet, &len, request));
    while (send(x->fd, packet, len, MSG_NOSIGNAL) < 0) {
        /* Answered before it was asked, with a refusal: read that. */
        if (errno == EPIPE || errno == ECONNRESET)
            return KMSE_OK;
        if (errno != EAGAIN && errno != EINTR)
            return cannot(x, "sending", errno, why);
        KMSE_TRY(wait_for(x, POLLOUT, why));
    }
    return KMSE_OK;
}

static kmse_st begin(struct exchange *x, const struct kmse_agent_address *agent,
                     const struct kmse_agent_request *request,
                     struct kmse_why *why)
{
    *x = (struct exchange){
        .agent = agent,
        .interrupt = kmse_interrupt_current(),
        .deadline_ms = now_ms(agent) + agent->timeout_ms,
    };
    x->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (x->fd < 0)
        return cannot(x, "no socket", errno, why);
    kmse_st st = connect_within(x, why);
    if (kmse_is_ok(st))
        st = send_request(x, request, why);
    if (!kmse_is_ok(st))
        close(x->fd);
    return st;
}

/* --- answers ------------------------------------------------------------ */

/* One whole packet; one byte more than the longest tells a longer one. */
static kmse_st receive(struct exchange *x,
                       uint8_t packet[KMSE_AGENT_ANSWER_MAX + 1], size_t *len,
                       struct kmse_why *why)
{
    for (;;) {
        ssize_t n = recv(x->fd, packet, KMSE_AGENT_ANSWER_MAX + 1, 0);
        if (n > 0) {
            *len = (size_t)n;
            return KMSE_OK;
        }
        if (n == 0) {
            KMSE_TRY(check_time(x, why));
            return kmse_fail(why, KMSE_R_AGENT, "%.107s: closed unanswered",
                             x->agent->path);
        }
        /* The socket tells it once, before what it still holds. */
        if (errno == ECONNRESET)
            continue;
        if (errno != EAGAIN && errno != EINTR)
            return cannot(x, "receiving", errno, why);
        KMSE_TRY(wait_for(x, POLLIN, why));
    }
}

/* What only this side can find is not the agent's to say. */
static kmse_st agents_reason(const struct kmse_agent_answer *answer,
                             struct kmse_why *why)
{
    bool is_ours =
        answer->reason == KMSE_R_AGENT || answer->reason == KMSE_R_INTERRUPTED;
    return kmse_fail(why, is_ours ? KMSE_R_KMS_ANSWER : answer->reason,
                     "the agent says: %.480s", answer->text);
}

static kmse_st next_answer(struct exchange *x, enum kmse_agent_ask asked,
                           struct kmse_agent_answer *answer,
                           uint8_t data_key[KMSE_SECRET_LEN],
                           struct kmse_why *why)
{
    uint8_t packet[KMSE_AGENT_ANSWER_MAX + 1];
    size_t len = 0;
    kmse_st st = receive(x, packet, &len, why);
    if (kmse_is_ok(st)) {
        st = kmse_agent_answer_decode(answer, data_key, asked, packet, len);
        if (!kmse_is_ok(st))
            st = kmse_fail(why, st.reason, "%.107s: not an agent's answer",
                           x->agent->path);
        else if (answer->reason != 0)
            st = agents_reason(answer, why);
    }
    OPENSSL_cleanse(packet, sizeof(packet));
    return st;
}

kmse_st kmse_agent_fetch(const struct kmse_agent_address *agent,
                         struct kmse_pool *pool,
                         const struct kmse_wanted *wanted,
                         struct kmse_loan *loan, struct kmse_why *why)
{
    struct kmse_agent_request request = {
        .ask = KMSE_AGENT_FETCH,
        .version = wanted->version,
        .messages = wanted->messages,
        .bytes = wanted->bytes,
    };
    struct kmse_agent_answer answer;
    struct kmse_secret data_key = {0};
    struct exchange x;
    snprintf(request.key, sizeof(request.key), "%s", wanted->key);
    memcpy(request.id, wanted->id, KMSE_KEY_ID_LEN);
    KMSE_TRY(kmse_secret_init(&data_key, pool));
    kmse_st st = begin(&x, agent, &request, why);
    if (kmse_is_ok(st)) {
        st = next_answer(&x, request.ask, &answer, data_key.bytes, why);
        close(x.fd);
    }
    if (kmse_is_ok(st))
        *loan = (struct kmse_loan){
            .data_key = kmse_secret_take(&data_key),
            .fresh_ms = answer.fresh_ms,
            .stale_ms = answer.stale_ms,
        };
    kmse_secret_wipe(&data_key);
    return st;
}

/* --- status ------------------------------------------------------------- */

static kmse_st append(char **text, size_t *len, const char *more)
{
    size_t more_len = strlen(more);
    if (*len + more_len > KMSE_AGENT_STATUS_MAX)
        return KMSE_ERR(KMSE_R_KMS_ANSWER);
    char *grown = realloc(*text, *len + more_len + 1);
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    memcpy(grown + *len, more, more_len + 1);
    *text = grown;
    *len += more_len;
    return KMSE_OK;
}

static kmse_st receive_status(struct exchange *x, char **text,
                              struct kmse_why *why)
{
    struct kmse_agent_answer answer = {.more = true};
    char *made = NULL;
    size_t len = 0;
    kmse_st st = KMSE_OK;
    while (kmse_is_ok(st) && answer.more) {
        st = next_answer(x, KMSE_AGENT_STATUS, &answer, NULL, why);
        if (kmse_is_ok(st))
            st = append(&made, &len, answer.text);
    }
    if (!kmse_is_ok(st)) {
        free(made);
        return st;
    }
    *text = made;
    return KMSE_OK;
}

kmse_st kmse_agent_status(const struct kmse_agent_address *agent, char **text,
                          struct kmse_why *why)
{
    const struct kmse_agent_request request = {.ask = KMSE_AGENT_STATUS};
    struct exchange x;
    KMSE_TRY(begin(&x, agent, &request, why));
    kmse_st st = receive_status(&x, text, why);
    close(x.fd);
    return st;
}
