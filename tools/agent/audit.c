/* SPDX-License-Identifier: Apache-2.0 */
/* The audit: lines of JSON. */
#include "agent/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

enum { FILE_MODE = 0640 };
/* Refusals that are told, a second: who is refused may ask without end. */
enum { REFUSALS_PER_S = 20 };

struct kmse_audit {
    const struct kmse_clock *clock;
    pthread_mutex_t mutex; /* guards what follows */
    int fd;
    bool is_ours; /* to be closed */
    uint64_t lost;
    uint64_t window_ms; /* the second that refusals are counted in */
    uint64_t refusals, untold;
};

static _Thread_local const struct kmse_peer *current;

void kmse_audit_set_peer(const struct kmse_peer *peer)
{
    current = peer;
}

/* --- places ------------------------------------------------------------- */

static kmse_st open_place(int *fd, bool *is_ours, const char *to,
                          struct kmse_why *why)
{
    *is_ours = to[0] == '/';
    if (!*is_ours) {
        *fd = strcmp(to, "stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO;
        return KMSE_OK;
    }
    *fd = open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
               FILE_MODE);
    if (*fd < 0)
        return kmse_fail(why, KMSE_R_FILE, "audit %.200s: %s", to,
                         strerror(errno));
    return KMSE_OK;
}

kmse_st kmse_audit_open(struct kmse_audit **audit, const char *to,
                        const struct kmse_clock *clock, struct kmse_why *why)
{
    struct kmse_audit *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = open_place(&made->fd, &made->is_ours, to, why);
    if (!kmse_is_ok(st)) {
        free(made);
        return st;
    }
    made->clock = clock;
    pthread_mutex_init(&made->mutex, NULL);
    *audit = made;
    return KMSE_OK;
}

void kmse_audit_close(struct kmse_audit *audit)
{
    if (audit == NULL)
        return;
    if (audit->is_ours)
        close(audit->fd);
    pthread_mutex_destroy(&audit->mutex);
    free(audit);
}

kmse_st kmse_audit_reopen(struct kmse_audit *audit, const char *to,
                          struct kmse_why *why)
{
    int fd = -1;
    bool is_ours = false;
    KMSE_TRY(open_place(&fd, &is_ours, to, why));
    pthread_mutex_lock(&audit->mutex);
    int old = audit->is_ours ? audit->fd : -1;
    audit->fd = fd;
    audit->is_ours = is_ours;
    pthread_mutex_unlock(&audit->mutex);
    if (old >= 0)
        close(old);
    return KMSE_OK;
}

uint64_t kmse_audit_lost(struct kmse_audit *audit)
{
    pthread_mutex_lock(&audit->mutex);
    uint64_t lost = audit->lost;
    pthread_mutex_unlock(&audit->mutex);
    return lost;
}

/* --- lines -------------------------------------------------------------- */

/* A pipe that is ready takes PIPE_BUF bytes in one piece, without waiting. */
static bool locked_write(struct kmse_audit *audit, const char *line, size_t len)
{
    struct pollfd place = {.fd = audit->fd, .events = POLLOUT};
    return len <= PIPE_BUF && poll(&place, 1, 0) == 1
           && (place.revents & POLLOUT) != 0
           && write(audit->fd, line, len) == (ssize_t)len;
}

/* Takes the object. */
static void write_line(struct kmse_audit *audit, cJSON *object, bool whole)
{
    char *text = whole ? cJSON_PrintUnformatted(object) : NULL;
    size_t len = text != NULL ? strlen(text) : 0;
    if (text != NULL)
        text[len++] = '\n'; /* in place of its NUL: one write */
    pthread_mutex_lock(&audit->mutex);
    if (text == NULL || !locked_write(audit, text, len))
        audit->lost++;
    pthread_mutex_unlock(&audit->mutex);
    cJSON_free(text);
    cJSON_Delete(object);
}

static bool add_text(cJSON *object, const char *name, const char *text)
{
    if (text == NULL)
        return cJSON_AddNullToObject(object, name) != NULL;
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

static bool add_number(cJSON *object, const char *name, double number)
{
    return cJSON_AddNumberToObject(object, name, number) != NULL;
}

static bool add_version(cJSON *object, uint32_t version)
{
    if (version == 0)
        return cJSON_AddNullToObject(object, "version") != NULL;
    return add_number(object, "version", version);
}

static bool add_peer(cJSON *object, const struct kmse_peer *peer)
{
    if (peer == NULL)
        return cJSON_AddNullToObject(object, "peer") != NULL;
    cJSON *of_peer = cJSON_AddObjectToObject(object, "peer");
    return of_peer != NULL && add_number(of_peer, "pid", peer->pid)
           && add_number(of_peer, "uid", peer->uid)
           && add_number(of_peer, "gid", peer->gid);
}

static bool begin_line(cJSON *object, const struct kmse_audit *audit,
                       const char *event)
{
    char now[KMSE_TIME_LEN];
    kmse_time_print(now, audit->clock->wall_s(audit->clock->arg));
    return object != NULL && add_text(object, "time", now)
           && add_text(object, "event", event);
}

void kmse_audit_event(struct kmse_audit *audit,
                      const struct kmse_kms_event *event)
{
    bool ok = kmse_is_ok(event->st);
    cJSON *object = cJSON_CreateObject();
    bool whole =
        begin_line(object, audit, event->operation)
        && add_text(object, "key", event->key)
        && add_version(object, event->version)
        && add_text(object, "master-key", event->uri)
        && add_text(object, "request-id",
                    event->request_id[0] != '\0' ? event->request_id : NULL)
        && add_peer(object, current)
        && add_number(object, "milliseconds", (double)event->duration_ms)
        && add_text(object, "outcome",
                    ok ? "ok" : kmse_reason_text(event->st.reason))
        && (ok || add_text(object, "why", event->why));
    write_line(audit, object, whole);
}

/* How many were not told before this one; false: nor is this. */
static bool may_tell(struct kmse_audit *audit, uint64_t *untold)
{
    enum { WINDOW_MS = 1000 };
    uint64_t now = audit->clock->elapsed_ms(audit->clock->arg);
    pthread_mutex_lock(&audit->mutex);
    if (now - audit->window_ms >= WINDOW_MS) {
        audit->window_ms = now;
        audit->refusals = 0;
    }
    bool may = audit->refusals < REFUSALS_PER_S;
    if (may) {
        *untold = audit->untold;
        audit->untold = 0;
        audit->refusals++;
    } else {
        audit->untold++;
    }
    pthread_mutex_unlock(&audit->mutex);
    return may;
}

void kmse_audit_refusal(struct kmse_audit *audit, const struct kmse_peer *peer,
                        const char *key, uint32_t version, const char *why)
{
    uint64_t untold = 0;
    if (!may_tell(audit, &untold))
        return;
    cJSON *object = cJSON_CreateObject();
    bool whole =
        begin_line(object, audit, "refuse") && add_text(object, "key", key)
        && add_version(object, version) && add_peer(object, peer)
        && add_text(object, "outcome", "refused")
        && add_text(object, "why", why)
        && (untold == 0 || add_number(object, "untold", (double)untold));
    write_line(audit, object, whole);
}
