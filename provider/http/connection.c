/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, through forks and to the end of the process. */
#include "http/connection.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "http/guest.h"

enum { IDLE_MAX = 4 };
enum state {
    FREE, /* without an easy handle */
    IDLE,
    BUSY,
    LOST, /* the parent's, or OpenSSL is gone: never touched again */
};

static struct kmse_connection *_Atomic all;
static atomic_bool ending;

bool kmse_connections_ending(void)
{
    return atomic_load(&ending);
}

/* --- sockets ------------------------------------------------------------ */

static bool is_loopback(const struct curl_sockaddr *address)
{
    struct sockaddr_in in = {0};
    struct sockaddr_in6 in6 = {0};
    if (address->family == AF_INET && address->addrlen >= sizeof(in)) {
        memcpy(&in, &address->addr, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (address->family == AF_INET6 && address->addrlen >= sizeof(in6)) {
        memcpy(&in6, &address->addr, sizeof(in6));
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    return false;
}

static bool remember(struct kmse_connection *connection, int fd)
{
    for (size_t i = 0; i < KMSE_CONNECTION_SOCKETS_MAX; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&connection->sockets[i], &none,
                                           fd + 1))
            return true;
    }
    return false;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    struct kmse_connection *connection = arg;
    (void)purpose;
    if (connection->loopback_only && !is_loopback(address)) {
        connection->refused = true;
        return CURL_SOCKET_BAD;
    }
    if (kmse_connections_ending())
        return CURL_SOCKET_BAD;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
                    address->protocol);
    if (fd >= 0 && !remember(connection, fd)) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

/* Forgotten first: a child must not close what may be another's by then. */
static int close_socket(void *arg, curl_socket_t fd)
{
    struct kmse_connection *connection = arg;
    pthread_mutex_lock(&connection->mutex);
    for (size_t i = 0; i < KMSE_CONNECTION_SOCKETS_MAX; i++) {
        int ours = fd + 1;
        atomic_compare_exchange_strong(&connection->sockets[i], &ours, 0);
    }
    int result = close(fd);
    pthread_mutex_unlock(&connection->mutex);
    return result;
}

bool kmse_connection_set_up(struct kmse_connection *connection)
{
    CURL *easy = connection->easy;
    connection->refused = false;
    connection->error[0] = '\0';
    return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == 0
           && curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, connection) == 0
           && curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket)
                  == 0
           && curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, connection) == 0
           && curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, connection->error)
                  == 0;
}

void kmse_connection_wake(void *arg)
{
    struct kmse_connection *connection = arg;
    pthread_mutex_lock(&connection->mutex);
    for (size_t i = 0; i < KMSE_CONNECTION_SOCKETS_MAX; i++) {
        int fd = atomic_load(&connection->sockets[i]) - 1;
        if (fd >= 0)
            shutdown(fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&connection->mutex);
}

/* --- taking and giving back --------------------------------------------- */

static struct kmse_connection *connection_new(void)
{
    struct kmse_connection *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        free(made);
        return NULL;
    }
    atomic_init(&made->state, BUSY);
    made->next = atomic_load(&all);
    while (!atomic_compare_exchange_weak(&all, &made->next, made))
        continue;
    return made;
}

static bool claim(struct kmse_connection *connection, enum state from)
{
    int expected = from;
    return atomic_compare_exchange_strong(&connection->state, &expected, BUSY);
}

/* Who owned it is certain only once it is claimed. */
static struct kmse_connection *claim_idle(const void *owner)
{
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next) {
        if (atomic_load(&connection->owner) != owner
            || !claim(connection, IDLE))
            continue;
        if (atomic_load(&connection->owner) == owner)
            return connection;
        atomic_store(&connection->state, IDLE);
    }
    return NULL;
}

static struct kmse_connection *claim_free(void)
{
    struct kmse_connection *connection = atomic_load(&all);
    while (connection != NULL && !claim(connection, FREE))
        connection = connection->next;
    return connection != NULL ? connection : connection_new();
}

struct kmse_connection *kmse_connection_take(const void *owner)
{
    struct kmse_connection *connection = claim_idle(owner);
    if (connection != NULL || (connection = claim_free()) == NULL)
        return connection;
    atomic_store(&connection->owner, owner);
    connection->easy = curl_easy_init();
    if (connection->easy == NULL) {
        atomic_store(&connection->state, FREE);
        return NULL;
    }
    return connection;
}

static void close_connection(struct kmse_connection *connection)
{
    struct kmse_guest guest;
    kmse_guest_enter(&guest);
    curl_easy_cleanup(connection->easy);
    kmse_guest_leave(&guest);
    connection->easy = NULL;
    atomic_store(&connection->state, FREE);
}

static size_t count_idle(const void *owner)
{
    size_t count = 0;
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next)
        count += atomic_load(&connection->owner) == owner
                 && atomic_load(&connection->state) == IDLE;
    return count;
}

/* At the end it stays busy, and waited for, until it is closed. */
void kmse_connection_give_back(struct kmse_connection *connection)
{
    if (kmse_connections_ending()
        || count_idle(atomic_load(&connection->owner)) >= IDLE_MAX)
        close_connection(connection);
    else
        atomic_store(&connection->state, IDLE);
}

/* --- the end of an owner, of a process, of a process's parent ----------- */

/*
 * To close a connection politely would speak into the parent's TLS, and after
 * OPENSSL_cleanup there is no TLS to speak with: the handle stays as it is.
 */
static void abandon(struct kmse_connection *connection)
{
    for (size_t i = 0; i < KMSE_CONNECTION_SOCKETS_MAX; i++) {
        int fd = atomic_exchange(&connection->sockets[i], 0) - 1;
        if (fd >= 0)
            close(fd);
    }
    atomic_store(&connection->state, LOST);
}

void kmse_connections_close(const void *owner)
{
    /* 0: OPENSSL_cleanup is under way, or done. */
    bool tls_lives = OPENSSL_init_crypto(0, NULL) != 0;
    struct kmse_connection *connection = NULL;
    while ((connection = claim_idle(owner)) != NULL) {
        if (tls_lives)
            close_connection(connection);
        else
            abandon(connection);
    }
}

static void after_fork_child(void)
{
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next) {
        if (atomic_load(&connection->state) != FREE)
            abandon(connection);
    }
}

static bool is_any_busy(void)
{
    struct kmse_connection *connection = atomic_load(&all);
    while (connection != NULL && atomic_load(&connection->state) != BUSY)
        connection = connection->next;
    return connection != NULL;
}

static void wake_busy(void)
{
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next) {
        if (atomic_load(&connection->state) == BUSY)
            kmse_connection_wake(connection);
    }
}

/*
 * TLS is about to be taken down under those who are in a call. They get out in
 * a moment, or, asking a name server that is silent, not in time; the process
 * ends all the same. A mutex and a condition would have to outlive forks.
 */
void kmse_connections_stop(void)
{
    enum { TRIES = 1000, NS_PER_TRY = 1000000 };
    static const struct timespec PAUSE = {0, NS_PER_TRY};
    atomic_store(&ending, true);
    for (int i = 0; i < TRIES && is_any_busy(); i++) {
        wake_busy();
        nanosleep(&PAUSE, NULL);
    }
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next) {
        if (claim(connection, IDLE))
            close_connection(connection);
    }
}

kmse_st kmse_connections_watch(void)
{
    return pthread_atfork(NULL, NULL, after_fork_child) == 0
               ? KMSE_OK
               : KMSE_ERR(KMSE_R_MEMORY);
}
