/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's numbers, and how they are told. */
#include "agent/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common.h"

#define PREFIX "kms_envelope_agent_"

void kmse_metrics_wipe(struct kmse_metrics *metrics)
{
    free(metrics->uses);
    metrics->uses = NULL;
    metrics->use_count = 0;
}

void kmse_metrics_kms(struct kmse_metrics *metrics,
                      const struct kmse_kms_event *event)
{
    atomic_fetch_add_explicit(&metrics->kms_calls, 1, memory_order_relaxed);
    if (!kmse_is_ok(event->st))
        atomic_fetch_add_explicit(
            &metrics->kms_errors[kmse_kms_classify(event->st)], 1,
            memory_order_relaxed);
}

static struct kmse_metrics_use *find_use(struct kmse_metrics *metrics,
                                         const char *key, uint32_t version)
{
    for (size_t i = 0; i < metrics->use_count; i++) {
        struct kmse_metrics_use *use = &metrics->uses[i];
        if (use->version == version && strcmp(use->key, key) == 0)
            return use;
    }
    struct kmse_metrics_use *grown =
        realloc(metrics->uses, (metrics->use_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    metrics->uses = grown;
    struct kmse_metrics_use *use = &grown[metrics->use_count++];
    *use = (struct kmse_metrics_use){.version = version};
    snprintf(use->key, sizeof(use->key), "%s", key);
    return use;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

void kmse_metrics_use(struct kmse_metrics *metrics,
                      const struct kmse_agent_request *request)
{
    struct kmse_metrics_use *use =
        find_use(metrics, request->key, request->version);
    if (use == NULL)
        return;
    use->messages = add_capped(use->messages, request->messages);
    use->bytes = add_capped(use->bytes, request->bytes);
}

static void sum_numbers(struct kmse_numbers *sum,
                        const struct kmse_numbers *more)
{
    sum->unwraps += more->unwraps;
    sum->failures += more->failures;
    sum->hits += more->hits;
    sum->misses += more->misses;
    sum->stale_serves += more->stale_serves;
}

void kmse_metrics_keep(struct kmse_metrics *metrics, struct kmse_ring *ring)
{
    struct kmse_numbers numbers;
    kmse_ring_get_numbers(ring, &numbers);
    sum_numbers(&metrics->before, &numbers);
}

/* --- text --------------------------------------------------------------- */

static void head(FILE *out, const char *name, const char *type,
                 const char *help)
{
    fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help,
            name, type);
}

static void counter(FILE *out, const char *name, uint64_t value,
                    const char *help)
{
    head(out, name, "counter", help);
    fprintf(out, PREFIX "%s %" PRIu64 "\n", name, value);
}

static void gauge(FILE *out, const char *name, uint64_t value, const char *help)
{
    head(out, name, "gauge", help);
    fprintf(out, PREFIX "%s %" PRIu64 "\n", name, value);
}

static void labelled(FILE *out, const char *name, const char *label,
                     const char *label_value, uint64_t value)
{
    fprintf(out, PREFIX "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, label_value,
            value);
}

static void print_fetches(FILE *out, const struct kmse_metrics *metrics)
{
    static const char FETCHES[] = "fetches_total";
    static const char REFUSALS[] = "refusals_total";
    head(out, FETCHES, "counter", "Data keys asked for.");
    labelled(out, FETCHES, "outcome", "lent", metrics->lent);
    labelled(out, FETCHES, "outcome", "failed", metrics->failed);
    labelled(out, FETCHES, "outcome", "refused", metrics->refused_policy);
    head(out, REFUSALS, "counter", "Requests that were refused.");
    labelled(out, REFUSALS, "cause", "policy", metrics->refused_policy);
    labelled(out, REFUSALS, "cause", "busy", metrics->refused_busy);
    labelled(out, REFUSALS, "cause", "request", metrics->refused_request);
}

static void print_ring(FILE *out, const struct kmse_numbers *numbers)
{
    counter(out, "unwraps_total", numbers->unwraps,
            "Data keys unwrapped by a KMS.");
    counter(out, "failures_total", numbers->failures,
            "Data keys that no KMS would unwrap.");
    counter(out, "hits_total", numbers->hits, "Data keys found in the cache.");
    counter(out, "misses_total", numbers->misses,
            "Data keys that were waited for.");
    counter(out, "stale_serves_total", numbers->stale_serves,
            "Data keys lent past max-age, the KMS being away.");
}

static void print_kms(FILE *out, const struct kmse_metrics *metrics)
{
    static const char ERRORS[] = "kms_errors_total";
    static const char *const CLASSES[KMSE_KMS_CLASSES] = {
        [KMSE_KMS_RETRYABLE] = "unreachable",
        [KMSE_KMS_DENIED] = "denied",
        [KMSE_KMS_NOT_FOUND] = "not-found",
        [KMSE_KMS_FATAL] = "other",
    };
    counter(out, "kms_calls_total", atomic_load(&metrics->kms_calls),
            "Calls to a KMS.");
    head(out, ERRORS, "counter", "Calls to a KMS that failed.");
    for (size_t i = 0; i < KMSE_KMS_CLASSES; i++)
        labelled(out, ERRORS, "class", CLASSES[i],
                 atomic_load(&metrics->kms_errors[i]));
}

static void print_server(FILE *out, const struct kmse_metrics *metrics,
                         const struct kmse_metrics_now *now)
{
    static const char DROPPED[] = "connections_dropped_total";
    static const char RELOADS[] = "reloads_total";
    counter(out, "connections_total", metrics->connections,
            "Connections taken.");
    gauge(out, "connections", metrics->connections_now, "Connections now.");
    head(out, DROPPED, "counter", "Connections closed before they asked.");
    labelled(out, DROPPED, "cause", "idle", metrics->dropped_idle);
    labelled(out, DROPPED, "cause", "crowded", metrics->dropped_crowded);
    gauge(out, "jobs", now->jobs, "Data keys being obtained now.");
    head(out, RELOADS, "counter", "Configurations read anew.");
    labelled(out, RELOADS, "outcome", "ok", metrics->reloads);
    labelled(out, RELOADS, "outcome", "failed", metrics->reloads_failed);
    counter(out, "audit_lines_lost_total", now->audit_lost,
            "Audit lines that could not be written.");
    gauge(out, "keys_locked", now->keys_locked ? 1 : 0,
          "1: keys are locked into memory.");
    gauge(out, "start_time_seconds", (uint64_t)metrics->started_s,
          "When it began, since 1970.");
    head(out, "info", "gauge", "The release.");
    labelled(out, "info", "version", kmse_release, 1);
}

/* --- by key and version ------------------------------------------------- */

static void of_version(FILE *out, const char *name, const char *key,
                       uint32_t version)
{
    fprintf(out, PREFIX "%s{key=\"%s\",version=\"%" PRIu32 "\"} ", name, key,
            version);
}

static void print_seconds(FILE *out, const char *name,
                          const struct kmse_cached *cached, int64_t ms)
{
    enum { MS_PER_S = 1000 };
    of_version(out, name, cached->key, cached->version);
    fprintf(out, "%.3f\n", (double)ms / MS_PER_S);
}

static void print_fresh(void *arg, const struct kmse_cached *cached)
{
    print_seconds(arg, "key_fresh_seconds", cached, cached->fresh_ms);
}

static void print_serves(void *arg, const struct kmse_cached *cached)
{
    print_seconds(arg, "key_serves_seconds", cached, cached->serves_ms);
}

static void print_failures(void *arg, const struct kmse_cached *cached)
{
    of_version(arg, "key_failures", cached->key, cached->version);
    fprintf(arg, "%u\n", cached->failures);
}

static void print_cached(FILE *out, struct kmse_ring *ring)
{
    head(out, "key_fresh_seconds", "gauge",
         "Until the data key must be unwrapped again; below 0: it is stale.");
    kmse_ring_visit(ring, print_fresh, out);
    head(out, "key_serves_seconds", "gauge",
         "Until the data key stops serving, if the KMS stays away.");
    kmse_ring_visit(ring, print_serves, out);
    head(out, "key_failures", "gauge",
         "Failures in a row since the KMS last unwrapped the data key.");
    kmse_ring_visit(ring, print_failures, out);
}

static void print_uses(FILE *out, const struct kmse_metrics *metrics)
{
    head(out, "messages_total", "counter",
         "Messages that processes of this host encrypted, as they told.");
    for (size_t i = 0; i < metrics->use_count; i++) {
        const struct kmse_metrics_use *use = &metrics->uses[i];
        of_version(out, "messages_total", use->key, use->version);
        fprintf(out, "%" PRIu64 "\n", use->messages);
    }
    head(out, "bytes_total", "counter", "The same, in bytes of plaintext.");
    for (size_t i = 0; i < metrics->use_count; i++) {
        const struct kmse_metrics_use *use = &metrics->uses[i];
        of_version(out, "bytes_total", use->key, use->version);
        fprintf(out, "%" PRIu64 "\n", use->bytes);
    }
}

void kmse_metrics_print(FILE *out, const struct kmse_metrics *metrics,
                        const struct kmse_metrics_now *now)
{
    struct kmse_numbers numbers;
    kmse_ring_get_numbers(now->ring, &numbers);
    sum_numbers(&numbers, &metrics->before);
    print_ring(out, &numbers);
    print_fetches(out, metrics);
    print_kms(out, metrics);
    print_cached(out, now->ring);
    print_uses(out, metrics);
    print_server(out, metrics, now);
}
