/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the agent, on libevent. */
#include "agent/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/listener.h>
#include <openssl/crypto.h>

enum { IDLE_S = 10, PAUSE_MS = 100 };

enum state {
    WAITS_FOR_QUESTION,
    WAITS_FOR_ANSWER, /* the desk has it */
    READS_STATUS,
};

struct connection {
    struct kmse_asker asker; /* first: the pointer is to both */
    struct kmse_server *server;
    TAILQ_ENTRY(connection) entry;
    struct event *event;
    struct user *user;
    int fd;
    enum state state;
    char *text; /* of the status */
    size_t text_len, sent;
};
TAILQ_HEAD(connections, connection);

/* Connections of one user; there are few users. */
struct user {
    uid_t uid;
    size_t count;
    LIST_ENTRY(user) entry;
};
LIST_HEAD(users, user);

struct kmse_server {
    struct kmse_server_options options;
    size_t connections_max, connections_per_user;
    const struct kmse_people *readers;
    struct evconnlistener *listener;
    struct event *resume;
    const struct timeval *idle;     /* libevent's own, for many of the same */
    struct connections connections; /* the oldest first */
    struct users users;
    size_t count, waiting;
};

/* --- users -------------------------------------------------------------- */

static struct user *join_user(struct kmse_server *server, uid_t uid)
{
    struct user *user = LIST_FIRST(&server->users);
    while (user != NULL && user->uid != uid)
        user = LIST_NEXT(user, entry);
    if (user == NULL) {
        user = calloc(1, sizeof(*user));
        if (user == NULL)
            return NULL;
        user->uid = uid;
        LIST_INSERT_HEAD(&server->users, user, entry);
    }
    user->count++;
    return user;
}

static void leave_user(struct user *user)
{
    if (--user->count > 0)
        return;
    LIST_REMOVE(user, entry);
    free(user);
}

/* --- ends --------------------------------------------------------------- */

static void hang_up(struct connection *connection)
{
    struct kmse_server *server = connection->server;
    if (connection->state == WAITS_FOR_ANSWER)
        server->waiting--;
    TAILQ_REMOVE(&server->connections, connection, entry);
    server->count--;
    server->options.metrics->connections_now = server->count;
    leave_user(connection->user);
    event_free(connection->event);
    close(connection->fd);
    free(connection->text);
    free(connection);
}

/* Who has waited longest without a question, of that user or (NULL) of all. */
static bool drop_oldest(struct kmse_server *server, const struct user *user)
{
    struct connection *oldest = TAILQ_FIRST(&server->connections);
    while (oldest != NULL
           && (oldest->state != WAITS_FOR_QUESTION
               || (user != NULL && oldest->user != user)))
        oldest = TAILQ_NEXT(oldest, entry);
    if (oldest == NULL)
        return false;
    server->options.metrics->dropped_crowded++;
    hang_up(oldest);
    return true;
}

/* --- answers ------------------------------------------------------------ */

/* One packet into a buffer that is empty: it fits, or nobody reads it. */
static void send_answer(int fd, const struct kmse_agent_answer *answer,
                        const uint8_t *data_key)
{
    uint8_t packet[KMSE_AGENT_ANSWER_MAX];
    size_t len = 0;
    if (kmse_is_ok(kmse_agent_answer_encode(packet, &len, answer, data_key))) {
        ssize_t n = send(fd, packet, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)n;
    }
    OPENSSL_cleanse(packet, sizeof(packet));
}

static void answer_asker(struct kmse_asker *asker,
                         const struct kmse_agent_answer *answer,
                         const uint8_t *data_key)
{
    struct connection *connection = (struct connection *)asker;
    send_answer(connection->fd, answer, data_key);
    hang_up(connection);
}

static void refuse_connection(int fd)
{
    struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH,
        .reason = KMSE_R_KMS_THROTTLED,
        .text = "the agent has too many connections",
    };
    send_answer(fd, &answer, NULL);
    close(fd);
}

/* --- the status --------------------------------------------------------- */

static void wait_to_write(struct connection *connection);

/* False: the packet was not taken, errno says why. */
static bool send_part(struct connection *connection, bool *more)
{
    struct kmse_agent_answer answer = {.ask = KMSE_AGENT_STATUS};
    uint8_t packet[KMSE_AGENT_ANSWER_MAX];
    size_t len = 0;
    size_t left = connection->text_len - connection->sent;
    size_t part = left < KMSE_AGENT_TEXT_MAX ? left : KMSE_AGENT_TEXT_MAX;
    memcpy(answer.text, connection->text + connection->sent, part);
    *more = answer.more = part < left;
    errno = EINVAL;
    if (!kmse_is_ok(kmse_agent_answer_encode(packet, &len, &answer, NULL))
        || send(connection->fd, packet, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return false;
    connection->sent += part;
    return true;
}

static void send_status(struct connection *connection)
{
    bool more = true;
    while (more) {
        if (send_part(connection, &more))
            continue;
        if (errno == EAGAIN)
            wait_to_write(connection);
        else
            hang_up(connection);
        return;
    }
    hang_up(connection);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    (void)fd;
    if ((what & EV_TIMEOUT) != 0) {
        connection->server->options.metrics->dropped_idle++;
        hang_up(connection);
        return;
    }
    send_status(connection);
}

static void wait_to_write(struct connection *connection)
{
    struct kmse_server *server = connection->server;
    event_del(connection->event);
    if (event_assign(connection->event, server->options.base, connection->fd,
                     EV_WRITE, on_writable, connection)
            != 0
        || event_add(connection->event, server->idle) != 0)
        hang_up(connection);
}

static bool may_read_status(const struct kmse_server *server,
                            const struct kmse_credentials *credentials)
{
    return credentials->peer.uid == 0 || credentials->peer.uid == geteuid()
           || kmse_people_have(server->readers, credentials);
}

static void answer_status(struct connection *connection,
                          const struct kmse_credentials *credentials)
{
    struct kmse_server *server = connection->server;
    struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_STATUS,
        .reason = KMSE_R_KMS_DENIED,
        .text = "this user may not see the agent's numbers: status-uid and "
                "status-gid in its configuration say who may",
    };
    if (!may_read_status(server, credentials)) {
        server->options.metrics->refused_policy++;
        send_answer(connection->fd, &answer, NULL);
        hang_up(connection);
        return;
    }
    connection->state = READS_STATUS;
    connection->text = server->options.status(server->options.arg);
    if (connection->text == NULL) {
        hang_up(connection);
        return;
    }
    connection->text_len = strlen(connection->text);
    send_status(connection);
}

/* --- questions ---------------------------------------------------------- */

static void ask(struct connection *connection)
{
    struct kmse_server *server = connection->server;
    struct kmse_credentials credentials;
    if (!kmse_is_ok(kmse_credentials_read(&credentials, connection->fd))) {
        hang_up(connection);
        return;
    }
    if (connection->asker.request.ask == KMSE_AGENT_STATUS) {
        answer_status(connection, &credentials);
        return;
    }
    connection->state = WAITS_FOR_ANSWER;
    server->waiting++;
    connection->asker.answer = answer_asker;
    kmse_desk_ask(server->options.desk, &connection->asker, &credentials);
}

/* What is longer than any question is received cut, and one byte too long. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    struct kmse_metrics *metrics = connection->server->options.metrics;
    uint8_t packet[KMSE_AGENT_REQUEST_MAX + 1];
    if ((what & EV_TIMEOUT) != 0) {
        metrics->dropped_idle++;
        hang_up(connection);
        return;
    }
    ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (event_add(connection->event, connection->server->idle) != 0)
            hang_up(connection);
        return;
    }
    if (n <= 0
        || !kmse_is_ok(kmse_agent_request_decode(&connection->asker.request,
                                                 packet, (size_t)n))) {
        metrics->refused_request += n > 0;
        hang_up(connection);
        return;
    }
    ask(connection);
}

/* --- connections -------------------------------------------------------- */

/* The user has the new one counted already, so it stays. */
static bool make_room(struct kmse_server *server, const struct user *user)
{
    if (user->count > server->connections_per_user)
        return drop_oldest(server, user);
    if (server->count >= server->connections_max)
        return drop_oldest(server, NULL);
    return true;
}

static struct connection *connection_new(struct kmse_server *server, int fd,
                                         struct user *user)
{
    struct connection *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->server = server;
    made->fd = fd;
    made->user = user;
    made->event =
        event_new(server->options.base, fd, EV_READ, on_readable, made);
    if (made->event == NULL || event_add(made->event, server->idle) != 0) {
        if (made->event != NULL)
            event_free(made->event);
        free(made);
        return NULL;
    }
    return made;
}

static bool admit(struct kmse_server *server, int fd, uid_t uid)
{
    struct user *user = join_user(server, uid);
    if (user == NULL)
        return false;
    struct connection *made =
        make_room(server, user) ? connection_new(server, fd, user) : NULL;
    if (made == NULL) {
        leave_user(user);
        return false;
    }
    TAILQ_INSERT_TAIL(&server->connections, made, entry);
    server->count++;
    server->options.metrics->connections++;
    server->options.metrics->connections_now = server->count;
    return true;
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
                          struct sockaddr *address, int address_len, void *arg)
{
    struct kmse_server *server = arg;
    struct kmse_peer peer;
    (void)listener;
    (void)address;
    (void)address_len;
    if (!kmse_is_ok(kmse_peer_read(&peer, fd)))
        close(fd);
    else if (!admit(server, fd, peer.uid))
        refuse_connection(fd);
}

/* No file descriptor is left, or no memory: a moment, and again. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    static const struct timeval PAUSE = {0, PAUSE_MS * 1000};
    struct kmse_server *server = arg;
    if (drop_oldest(server, NULL))
        return;
    evconnlistener_disable(listener);
    event_add(server->resume, &PAUSE);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct kmse_server *server = arg;
    (void)fd;
    (void)what;
    evconnlistener_enable(server->listener);
}

/* --- life --------------------------------------------------------------- */

kmse_st kmse_server_new(struct kmse_server **server,
                        const struct kmse_server_options *options)
{
    static const struct timeval IDLE = {IDLE_S, 0};
    struct kmse_server *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->options = *options;
    TAILQ_INIT(&made->connections);
    LIST_INIT(&made->users);
    made->idle = event_base_init_common_timeout(options->base, &IDLE);
    made->resume = evtimer_new(options->base, on_resume, made);
    made->listener = evconnlistener_new(options->base, on_connection, made,
                                        LEV_OPT_CLOSE_ON_EXEC, 0, options->fd);
    if (made->idle == NULL || made->resume == NULL || made->listener == NULL) {
        kmse_server_free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    evconnlistener_set_error_cb(made->listener, on_accept_error);
    *server = made;
    return KMSE_OK;
}

void kmse_server_free(struct kmse_server *server)
{
    if (server == NULL)
        return;
    if (server->listener != NULL)
        evconnlistener_free(server->listener);
    if (server->resume != NULL)
        event_free(server->resume);
    while (!TAILQ_EMPTY(&server->connections))
        hang_up(TAILQ_FIRST(&server->connections));
    free(server);
}

void kmse_server_set(struct kmse_server *server, size_t connections_max,
                     size_t connections_per_user,
                     const struct kmse_people *readers)
{
    server->connections_max = connections_max;
    server->connections_per_user = connections_per_user;
    server->readers = readers;
}

void kmse_server_drain(struct kmse_server *server)
{
    struct connection *connection = TAILQ_FIRST(&server->connections);
    evconnlistener_disable(server->listener);
    event_del(server->resume);
    while (connection != NULL) {
        struct connection *next = TAILQ_NEXT(connection, entry);
        if (connection->state == WAITS_FOR_QUESTION)
            hang_up(connection);
        connection = next;
    }
}

size_t kmse_server_waiting(const struct kmse_server *server)
{
    return server->waiting;
}
