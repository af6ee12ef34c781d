/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in the middle of a libcurl TLS transfer of its own, when it
 * encrypts: guest_transfer URL CA-BUNDLE first|own-memory|late
 * From the callback of one transfer, while another goes on in a thread, and a
 * third is left open meanwhile by curl_multi. It initialises libcurl before the
 * provider does, with memory functions that must stay in force, or after it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "guest.h"

enum { FEW_BYTES = 5, POLL_MS = 100 };

static const char *url, *bundle;

struct download {
    size_t len;
    bool encrypts, worked;
};

/* The key is new to the process: the KMS is called from in here. */
static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
    struct download *download = arg;
    (void)bytes;
    if (download->encrypts && download->len == 0)
        download->worked = round_trip(NULL, "in-callback");
    download->len += size * count;
    return size * count;
}

static CURL *prepare(struct download *download)
{
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        exit(EXIT_FAILURE);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CAINFO, bundle);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, download);
    return easy;
}

static bool run(struct download *download)
{
    CURL *easy = prepare(download);
    CURLcode code = curl_easy_perform(easy);
    if (code != CURLE_OK)
        fprintf(stderr, "the program's own: %s\n", curl_easy_strerror(code));
    curl_easy_cleanup(easy);
    return code == CURLE_OK && download->len > 0;
}

static void *run_in_thread(void *arg)
{
    struct download *download = arg;
    download->worked = run(download);
    return NULL;
}

static bool poll_once(CURLM *multi, int *running)
{
    return curl_multi_perform(multi, running) == CURLM_OK
           && curl_multi_poll(multi, NULL, 0, POLL_MS, NULL) == CURLM_OK;
}

/* Some of it, then messages, then the rest. */
static bool run_with_multi(void)
{
    struct download download = {.len = 0};
    CURLM *multi = curl_multi_init();
    CURL *easy = prepare(&download);
    int running = 1;
    curl_multi_add_handle(multi, easy);
    while (running > 0 && download.len < FEW_BYTES)
        if (!poll_once(multi, &running))
            return false;
    bool in_the_middle = running > 0;
    bool worked = round_trip(NULL, "in-multi");
    while (running > 0)
        if (!poll_once(multi, &running))
            return false;
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    return worked && in_the_middle && download.len > FEW_BYTES;
}

/* --- memory functions of the program's own ------------------------------ */

static atomic_size_t resized;

static void *resize(void *bytes, size_t size)
{
    atomic_fetch_add(&resized, 1);
    return realloc(bytes, size);
}

static bool start(bool own_memory)
{
    return (own_memory ? curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free,
                                              resize, strdup, calloc)
                       : curl_global_init(CURL_GLOBAL_DEFAULT))
           == CURLE_OK;
}

int main(int argc, char **argv)
{
    struct download threads = {.len = 0}, callbacks = {.encrypts = true};
    pthread_t thread;
    if (argc != 4)
        return EXIT_FAILURE;
    url = argv[1];
    bundle = argv[2];
    bool own_memory = strcmp(argv[3], "own-memory") == 0;
    if ((strcmp(argv[3], "late") == 0 && !round_trip(NULL, "emails"))
        || !start(own_memory)
        || pthread_create(&thread, NULL, run_in_thread, &threads) != 0)
        return EXIT_FAILURE;
    bool worked = run_with_multi();
    worked = run(&callbacks) && callbacks.worked && worked;
    pthread_join(thread, NULL);
    size_t before = atomic_load(&resized);
    curl_free(curl_easy_escape(NULL, "a b", 0));
    bool in_force = (atomic_load(&resized) > before) == own_memory;
    curl_global_cleanup();
    /* libcurl is still the provider's, and the process's. */
    worked = round_trip(NULL, "after-cleanup") && worked;
    return worked && threads.worked && in_force ? EXIT_SUCCESS : EXIT_FAILURE;
}
