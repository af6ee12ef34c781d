/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's life: start, signals, a new configuration, the end. */
#include "agent/agent.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/exporter.h"
#include "agent/hardening.h"
#include "agent/server.h"
#include "agent/socket.h"
#include "agent/systemd.h"
#include "tools/common.h"

enum {
    FILE_WORKERS = 1,
    QUEUE_MAX = 1024,
    TIDY_S = 10,
    DRAIN_S = 5, /* for those who wait for a KMS */
};

struct agent {
    struct kmse_agent_overrides overrides;
    struct kmse_agent_config *config;
    struct kmse_ring *ring;
    bool keys_locked;
    struct kmse_jobs *files, *kms;
    struct kmse_audit *audit;
    struct kmse_metrics metrics;
    struct kmse_desk *desk;
    struct kmse_agent_socket socket;
    struct event_base *base;
    struct kmse_server *server;
    struct kmse_exporter *exporter;
    struct event *term, *interrupt, *hangup, *files_ended, *kms_ended, *tidy;
    struct event *watchdog, *drained;
    bool reloading, reload_again, draining;
};

/* --- the ring and the numbers ------------------------------------------- */

static void observe(void *arg, const struct kmse_kms_event *event)
{
    struct agent *agent = arg;
    kmse_audit_event(agent->audit, event);
    kmse_metrics_kms(&agent->metrics, event);
}

/* Nothing is encrypted here: the limits for that are others' matter. */
static kmse_st make_ring(struct kmse_ring **ring, struct agent *agent,
                         const struct kmse_agent_config *config)
{
    const struct kmse_kms_options kms = {
        .aws = &config->aws,
        .observe = observe,
        .observe_arg = agent,
    };
    const struct kmse_ring_options options = {
        .folder = config->keys,
        .max_age_ms = config->max_age_ms,
        .stale_ms = config->stale_ms,
        .kms = &kms,
    };
    struct kmse_crypto *crypto = NULL;
    KMSE_TRY(kmse_crypto_new(&crypto, NULL, false));
    return kmse_ring_new(ring, &options, crypto, &kmse_clock_system);
}

static char *status(void *arg)
{
    struct agent *agent = arg;
    const struct kmse_metrics_now now = {
        .ring = agent->ring,
        .audit_lost = kmse_audit_lost(agent->audit),
        .jobs = kmse_jobs_count(agent->files) + kmse_jobs_count(agent->kms),
        .keys_locked = agent->keys_locked,
    };
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    kmse_metrics_print(out, &agent->metrics, &now);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static void check_locked(struct agent *agent)
{
    agent->keys_locked = kmse_ring_is_locked(agent->ring);
    if (!agent->keys_locked)
        kmse_tool_hint("agent: keys cannot be locked into memory, and may get "
                       "into swap: raise RLIMIT_MEMLOCK (LimitMEMLOCK=, "
                       "ulimit -l)");
}

/* --- the end ------------------------------------------------------------ */

static bool is_idle(const struct agent *agent)
{
    return kmse_server_waiting(agent->server) == 0
           && kmse_jobs_count(agent->files) == 0
           && kmse_jobs_count(agent->kms) == 0;
}

static void end_if_idle(struct agent *agent)
{
    if (agent->draining && is_idle(agent))
        event_base_loopbreak(agent->base);
}

/* A second time: at once. */
static void on_end(evutil_socket_t signal_number, short what, void *arg)
{
    static const struct timeval DRAIN = {DRAIN_S, 0};
    struct agent *agent = arg;
    (void)signal_number;
    (void)what;
    if (agent->draining || event_add(agent->drained, &DRAIN) != 0) {
        event_base_loopbreak(agent->base);
        return;
    }
    agent->draining = true;
    kmse_systemd_notify("STOPPING=1");
    kmse_server_drain(agent->server);
    end_if_idle(agent);
}

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
    struct agent *agent = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(agent->base);
}

/* --- a new configuration ------------------------------------------------ */

/* Names of users may come from far away: read it where waiting is allowed. */
struct reload {
    struct kmse_job job; /* first: the pointer is to both */
    struct agent *agent;
    struct kmse_agent_config *config;
    kmse_st st;
    struct kmse_why why;
};

static void free_config(struct kmse_agent_config *config)
{
    if (config == NULL)
        return;
    kmse_agent_config_wipe(config);
    free(config);
}

static void run_reload(struct kmse_job *job)
{
    struct reload *reload = (struct reload *)job;
    reload->st = kmse_agent_config_read(
        reload->config, &reload->agent->overrides, &reload->why);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void tell_what_stays(const struct kmse_agent_config *old,
                            const struct kmse_agent_config *now)
{
    if (!same_text(old->socket, now->socket) || old->workers != now->workers
        || old->metrics_port != now->metrics_port)
        kmse_tool_hint("agent: socket, workers and metrics-port change with "
                       "the next start only");
}

/* Keys that are unwrapped stay, unless what they hang on has changed. */
static kmse_st change_ring(struct agent *agent,
                           const struct kmse_agent_config *config)
{
    struct kmse_ring *ring = NULL;
    if (kmse_agent_config_same_ring(agent->config, config))
        return KMSE_OK;
    KMSE_TRY(make_ring(&ring, agent, config));
    kmse_metrics_keep(&agent->metrics, agent->ring);
    kmse_ring_release(agent->ring);
    agent->ring = ring;
    check_locked(agent);
    return KMSE_OK;
}

static void put_in_force(struct agent *agent)
{
    const struct kmse_agent_config *config = agent->config;
    kmse_desk_set(agent->desk, &config->policy, agent->ring);
    kmse_server_set(agent->server, config->max_connections,
                    config->max_connections_per_user, &config->policy.readers);
}

static kmse_st change(struct agent *agent, struct kmse_agent_config *config,
                      struct kmse_why *why)
{
    struct kmse_agent_config *old = agent->config;
    KMSE_TRY(kmse_audit_reopen(agent->audit, config->audit, why));
    KMSE_TRY(change_ring(agent, config));
    tell_what_stays(old, config);
    agent->config = config;
    put_in_force(agent);
    free_config(old);
    return KMSE_OK;
}

static void start_reload(struct agent *agent);

static void reloaded(struct kmse_job *job)
{
    struct reload *reload = (struct reload *)job;
    struct agent *agent = reload->agent;
    kmse_st st = reload->st;
    agent->reloading = false;
    if (kmse_is_ok(st) && !agent->draining)
        st = change(agent, reload->config, &reload->why);
    if (kmse_is_ok(st) && !agent->draining) {
        agent->metrics.reloads++;
        kmse_tool_hint("agent: the new configuration is in force");
    } else {
        agent->metrics.reloads_failed++;
        kmse_tool_hint("agent: the old configuration stays in force: %s: %s",
                       kmse_reason_text(st.reason), reload->why.text);
        free_config(reload->config);
    }
    free(reload);
    kmse_systemd_notify("READY=1");
    if (agent->reload_again)
        start_reload(agent);
}

static struct reload *reload_new(struct agent *agent)
{
    struct reload *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->job = (struct kmse_job){.run = run_reload, .done = reloaded};
    made->agent = agent;
    made->st = KMSE_ERR(KMSE_R_INTERRUPTED);
    made->config = calloc(1, sizeof(*made->config));
    if (made->config == NULL) {
        free(made);
        return NULL;
    }
    return made;
}

static void start_reload(struct agent *agent)
{
    struct reload *reload = reload_new(agent);
    agent->reload_again = false;
    agent->reloading =
        reload != NULL && kmse_jobs_post(agent->files, &reload->job);
    if (agent->reloading)
        return;
    if (reload != NULL)
        free(reload->config);
    free(reload);
    kmse_tool_hint("agent: the old configuration stays in force: too busy");
    kmse_systemd_notify("READY=1");
}

static void on_hangup(evutil_socket_t signal_number, short what, void *arg)
{
    struct agent *agent = arg;
    (void)signal_number;
    (void)what;
    if (agent->draining)
        return;
    kmse_systemd_notify_reloading();
    if (agent->reloading)
        agent->reload_again = true;
    else
        start_reload(agent);
}

/* --- other events ------------------------------------------------------- */

static void on_files_ended(evutil_socket_t fd, short what, void *arg)
{
    struct agent *agent = arg;
    (void)fd;
    (void)what;
    kmse_jobs_collect(agent->files);
    end_if_idle(agent);
}

static void on_kms_ended(evutil_socket_t fd, short what, void *arg)
{
    struct agent *agent = arg;
    (void)fd;
    (void)what;
    kmse_jobs_collect(agent->kms);
    end_if_idle(agent);
}

static void on_tidy(evutil_socket_t fd, short what, void *arg)
{
    struct agent *agent = arg;
    (void)fd;
    (void)what;
    kmse_ring_tidy(agent->ring);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    kmse_systemd_notify("WATCHDOG=1");
}

static bool add(struct event **event, struct agent *agent, evutil_socket_t fd,
                short what, event_callback_fn call,
                const struct timeval *timeout)
{
    *event = event_new(agent->base, fd, what, call, agent);
    return *event != NULL && event_add(*event, timeout) == 0;
}

static bool add_watchdog(struct agent *agent)
{
    enum { MS_PER_S = 1000, US_PER_MS = 1000 };
    uint64_t ms = kmse_systemd_watchdog_ms();
    const struct timeval every = {
        .tv_sec = (time_t)(ms / MS_PER_S),
        .tv_usec = (suseconds_t)(ms % MS_PER_S * US_PER_MS),
    };
    return ms == 0
           || add(&agent->watchdog, agent, -1, EV_PERSIST, on_watchdog, &every);
}

static kmse_st add_events(struct agent *agent)
{
    static const struct timeval TIDY = {TIDY_S, 0};
    enum { SIGNAL = EV_SIGNAL | EV_PERSIST, READ = EV_READ | EV_PERSIST };
    agent->drained = evtimer_new(agent->base, on_drained, agent);
    bool added = agent->drained != NULL
                 && add(&agent->term, agent, SIGTERM, SIGNAL, on_end, NULL)
                 && add(&agent->interrupt, agent, SIGINT, SIGNAL, on_end, NULL)
                 && add(&agent->hangup, agent, SIGHUP, SIGNAL, on_hangup, NULL)
                 && add(&agent->files_ended, agent, kmse_jobs_fd(agent->files),
                        READ, on_files_ended, NULL)
                 && add(&agent->kms_ended, agent, kmse_jobs_fd(agent->kms),
                        READ, on_kms_ended, NULL)
                 && add(&agent->tidy, agent, -1, EV_PERSIST, on_tidy, &TIDY)
                 && add_watchdog(agent);
    return added ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

/* --- the start ---------------------------------------------------------- */

static kmse_st make_desk(struct agent *agent)
{
    KMSE_TRY(kmse_jobs_new(&agent->files, FILE_WORKERS, QUEUE_MAX));
    KMSE_TRY(kmse_jobs_new(&agent->kms, agent->config->workers, QUEUE_MAX));
    const struct kmse_desk_tools tools = {
        .files = agent->files,
        .kms = agent->kms,
        .audit = agent->audit,
        .metrics = &agent->metrics,
    };
    return kmse_desk_new(&agent->desk, &tools);
}

static kmse_st make_server(struct agent *agent, struct kmse_why *why)
{
    const struct kmse_agent_config *config = agent->config;
    agent->base = event_base_new();
    if (agent->base == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    const struct kmse_server_options options = {
        .base = agent->base,
        .fd = agent->socket.fd,
        .desk = agent->desk,
        .metrics = &agent->metrics,
        .status = status,
        .arg = agent,
    };
    KMSE_TRY(kmse_server_new(&agent->server, &options));
    if (config->metrics_port != 0)
        KMSE_TRY(kmse_exporter_new(&agent->exporter, agent->base,
                                   (uint16_t)config->metrics_port, status,
                                   agent, why));
    put_in_force(agent);
    return add_events(agent);
}

static kmse_st start(struct agent *agent, struct kmse_why *why)
{
    agent->config = calloc(1, sizeof(*agent->config));
    if (agent->config == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    KMSE_TRY(kmse_agent_config_read(agent->config, &agent->overrides, why));
    KMSE_TRY(kmse_harden(agent->config->max_connections, why));
    KMSE_TRY(kmse_audit_open(&agent->audit, agent->config->audit,
                             &kmse_clock_system, why));
    KMSE_TRY(make_ring(&agent->ring, agent, agent->config));
    check_locked(agent);
    KMSE_TRY(make_desk(agent));
    KMSE_TRY(
        kmse_agent_socket_open(&agent->socket, agent->config->socket, why));
    return make_server(agent, why);
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

/* Jobs first: each that waits is told, over connections that are there. */
static void end(struct agent *agent)
{
    kmse_jobs_free(agent->files);
    kmse_jobs_free(agent->kms);
    kmse_exporter_free(agent->exporter);
    kmse_server_free(agent->server);
    kmse_desk_free(agent->desk);
    kmse_agent_socket_close(&agent->socket);
    struct event *events[] = {
        agent->term,      agent->interrupt, agent->hangup,   agent->files_ended,
        agent->kms_ended, agent->tidy,      agent->watchdog, agent->drained,
    };
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        free_event(events[i]);
    if (agent->base != NULL)
        event_base_free(agent->base);
    kmse_ring_release(agent->ring);
    kmse_audit_close(agent->audit);
    kmse_metrics_wipe(&agent->metrics);
    free_config(agent->config);
}

int kmse_agent_run(const struct kmse_agent_overrides *overrides)
{
    struct kmse_why why = {""};
    struct agent agent = {
        .overrides = *overrides,
        .socket = {.fd = -1, .lock_fd = -1},
        .metrics.started_s = kmse_clock_system.wall_s(kmse_clock_system.arg),
    };
    int exit_code = KMSE_EXIT_DONE;
    signal(SIGPIPE, SIG_IGN);
    kmse_st st = start(&agent, &why);
    if (kmse_is_ok(st)) {
        kmse_tool_hint("agent: listens on %s, for keys in %s",
                       agent.socket.path != NULL ? agent.socket.path
                                                 : "systemd's socket",
                       agent.config->keys);
        kmse_systemd_notify("READY=1");
        event_base_dispatch(agent.base);
        kmse_tool_hint("agent: ends");
    } else {
        exit_code = kmse_tool_fail(st, &why);
    }
    end(&agent);
    return exit_code;
}
