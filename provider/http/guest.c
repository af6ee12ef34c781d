/* SPDX-License-Identifier: Apache-2.0 */
/* Using libcurl in somebody else's process. */
#include "http/guest.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

/* --- libcurl's memory --------------------------------------------------- */

/*
 * libcurl has one set of memory functions a process, taken from whoever is
 * first. These are the C library's own for everybody else, and for us wipe
 * what is freed. Whoever was before us has them his way: what a request held
 * may then be left in freed memory, an answer never (answer.c).
 */
static _Thread_local bool wiping;

static void give_back(void *bytes)
{
    if (wiping && bytes != NULL)
        OPENSSL_cleanse(bytes, malloc_usable_size(bytes));
    free(bytes);
}

static void *resize(void *bytes, size_t size)
{
    if (!wiping || bytes == NULL)
        return realloc(bytes, size);
    void *made = malloc(size);
    if (made == NULL)
        return NULL;
    size_t old_size = malloc_usable_size(bytes);
    memcpy(made, bytes, old_size < size ? old_size : size);
    give_back(bytes);
    return made;
}

bool kmse_guest_start(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, give_back, resize,
                                strdup, calloc)
           == CURLE_OK;
}

/* --- OpenSSL's queue of errors ------------------------------------------ */

static char *copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

/* OSSL_ERR_STATE_save does this from OpenSSL 3.2 on. */
static void save_errors(struct kmse_guest *guest)
{
    guest->error_count = 0;
    while (guest->error_count < KMSE_GUEST_ERRORS_MAX) {
        struct kmse_guest_error *error = &guest->errors[guest->error_count];
        const char *file = NULL, *function = NULL, *data = NULL;
        int flags = 0;
        error->code =
            ERR_get_error_all(&file, &error->line, &function, &data, &flags);
        if (error->code == 0)
            break;
        error->file = copy(file);
        error->function = copy(function);
        error->data = (flags & ERR_TXT_STRING) != 0 ? copy(data) : NULL;
        guest->error_count++;
    }
}

static void restore_errors(struct kmse_guest *guest)
{
    ERR_clear_error();
    for (size_t i = 0; i < guest->error_count; i++) {
        struct kmse_guest_error *error = &guest->errors[i];
        int library = ERR_GET_LIB(error->code);
        int reason = ERR_GET_REASON(error->code);
        ERR_new();
        ERR_set_debug(error->file, error->line, error->function);
        if (error->data != NULL)
            ERR_set_error(library, reason, "%s", error->data);
        else
            ERR_set_error(library, reason, NULL);
        free(error->file);
        free(error->function);
        free(error->data);
    }
}

/* --- SIGPIPE ------------------------------------------------------------ */

static void block_pipe(struct kmse_guest *guest)
{
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    guest->pipe_was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &guest->signals);
}

/* It is sent to the thread that wrote: one that is pending now is ours. */
static void unblock_pipe(const struct kmse_guest *guest)
{
    static const struct timespec NO_WAIT = {0, 0};
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (!guest->pipe_was_pending && sigtimedwait(&pipe, NULL, &NO_WAIT) < 0
           && errno == EINTR)
        continue;
    pthread_sigmask(SIG_SETMASK, &guest->signals, NULL);
}

void kmse_guest_enter(struct kmse_guest *guest)
{
    wiping = true;
    block_pipe(guest);
    save_errors(guest);
}

void kmse_guest_leave(struct kmse_guest *guest)
{
    restore_errors(guest);
    unblock_pipe(guest);
    wiping = false;
}
