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
    LOST, /* its parent's, or OpenSSL is gone: never touched again */
};

static struct kmse_connection *_Atomic all;
static atomic_bool ending;
static atomic_int forks; /* under way: the child is not there yet */

/* Waiting without a lock, which would have to outlive forks. */
enum { PAUSE_MS = 1, NS_PER_MS = 1000000, MS_PER_S = 1000 };

static void pause_a_moment(void)
{
    const struct timespec moment = {0, PAUSE_MS * NS_PER_MS};
    nanosleep(&moment, NULL);
}

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

static bool claim(struct kmse_connection *connection, int from)
{
    return atomic_compare_exchange_strong(&connection->state, &from, BUSY);
}

/* A child that was made behind libc's back finds its parent's: not ours. */
static bool is_ours(const struct kmse_connection *connection, const void *owner)
{
    return atomic_load(&connection->owner) == owner
           && atomic_load(&connection->process) == getpid();
}

/* Whose it was is certain only once it is claimed. */
static struct kmse_connection *claim_idle(const void *owner)
{
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next) {
        if (!is_ours(connection, owner) || !claim(connection, IDLE))
            continue;
        if (is_ours(connection, owner))
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

static struct kmse_connection *claim_any(const void *owner)
{
    struct kmse_connection *connection = claim_idle(owner);
    if (connection != NULL || (connection = claim_free()) == NULL)
        return connection;
    atomic_store(&connection->owner, owner);
    atomic_store(&connection->process, getpid());
    connection->easy = curl_easy_init();
    if (connection->easy == NULL) {
        atomic_store(&connection->state, FREE);
        return NULL;
    }
    return connection;
}

/*
 * Busy first, then looking: a fork counts itself first, then looks for who is
 * busy, so that one of the two sees the other. And looking before that: to make
 * a handle takes a lock of libcurl's.
 */
static kmse_st take_unless_forking(struct kmse_connection **connection,
                                   const void *owner)
{
    if (atomic_load(&forks) > 0)
        return KMSE_OK;
    struct kmse_connection *claimed = claim_any(owner);
    if (claimed == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    atomic_store(&claimed->disturbed, false);
    atomic_store(&claimed->steadfast, false);
    if (atomic_load(&forks) > 0)
        atomic_store(&claimed->state, IDLE);
    else
        *connection = claimed;
    return KMSE_OK;
}

kmse_st kmse_connection_take(struct kmse_connection **connection,
                             const void *owner,
                             struct kmse_interrupt *interrupt)
{
    struct kmse_connection *taken = NULL;
    while (!kmse_connections_ending() && !kmse_interrupt_is_raised(interrupt)) {
        KMSE_TRY(take_unless_forking(&taken, owner));
        if (taken != NULL) {
            *connection = taken;
            return KMSE_OK;
        }
        pause_a_moment();
    }
    return KMSE_ERR(KMSE_R_INTERRUPTED);
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
        count += is_ours(connection, owner)
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

static bool is_any_busy(void)
{
    struct kmse_connection *connection = atomic_load(&all);
    while (connection != NULL && atomic_load(&connection->state) != BUSY)
        connection = connection->next;
    return connection != NULL;
}

static void disturb_busy(bool steadfast_too)
{
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next) {
        if (atomic_load(&connection->state) != BUSY
            || (atomic_load(&connection->steadfast) && !steadfast_too))
            continue;
        atomic_store(&connection->disturbed, true);
        kmse_connection_wake(connection);
    }
}

/*
 * Most calls are done in that grace; and one that asks a name server that is
 * silent does not hold up the host for more than the limit.
 */
void kmse_connections_before_fork(void)
{
    enum { GRACE_MS = 100, LIMIT_MS = MS_PER_S };
    atomic_fetch_add(&forks, 1);
    for (int ms = 0; ms < LIMIT_MS && is_any_busy(); ms += PAUSE_MS) {
        if (ms >= GRACE_MS)
            disturb_busy(false);
        pause_a_moment();
    }
}

void kmse_connections_after_fork_parent(void)
{
    atomic_fetch_sub(&forks, 1);
}

void kmse_connections_after_fork_child(void)
{
    struct kmse_connection *connection = atomic_load(&all);
    atomic_store(&forks, 0);
    for (; connection != NULL; connection = connection->next) {
        if (atomic_load(&connection->state) != FREE)
            abandon(connection);
    }
}

/* TLS is about to be taken down under those who are in a call. */
void kmse_connections_stop(void)
{
    enum { LIMIT_MS = MS_PER_S };
    atomic_store(&ending, true);
    for (int ms = 0; ms < LIMIT_MS && is_any_busy(); ms += PAUSE_MS) {
        disturb_busy(true);
        pause_a_moment();
    }
    struct kmse_connection *connection = atomic_load(&all);
    for (; connection != NULL; connection = connection->next) {
        if (claim(connection, IDLE))
            close_connection(connection);
    }
}
