/* SPDX-License-Identifier: Apache-2.0 */
/* Noticing forks, and coming through them with locks whole. */
#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

/* What a child finds as zero. */
struct page {
    _Atomic uint64_t generation; /* 0: wiped, this is a new child */
};

struct kmse_fork {
    struct page *page;
    size_t page_len;
    bool wiped_on_fork;      /* else the process id has to tell */
    _Atomic uint64_t latest; /* survives the fork; generations count up */
};

kmse_st kmse_fork_new(struct kmse_fork **fork)
{
    struct kmse_fork *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->page_len = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, made->page_len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    made->page = page;
    made->wiped_on_fork = madvise(page, made->page_len, MADV_WIPEONFORK) == 0;
    *fork = made;
    return KMSE_OK;
}

void kmse_fork_free(struct kmse_fork *fork)
{
    if (fork == NULL)
        return;
    munmap(fork->page, fork->page_len);
    free(fork);
}

uint64_t kmse_fork_generation(struct kmse_fork *fork)
{
    if (!fork->wiped_on_fork)
        return (uint64_t)getpid();
    uint64_t generation =
        atomic_load_explicit(&fork->page->generation, memory_order_acquire);
    if (generation != 0)
        return generation;
    /* Threads of a new child may race to here: the first number stands. */
    uint64_t next = atomic_fetch_add(&fork->latest, 1) + 1;
    if (atomic_compare_exchange_strong(&fork->page->generation, &generation,
                                       next))
        return next;
    return generation;
}

/*
 * pthread_atfork and atexit know the process only, so this list is the
 * process's. The module is never unmapped (nodelete): the handlers stay
 * callable.
 */
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static bool handlers_installed;
static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kmse_fork_hooks *list;
static bool ended; /* guarded by list_mutex */
static struct kmse_fork_hooks *_Atomic outermost;
/* What it was when the fork under way began; guarded by list_mutex. */
static struct kmse_fork_hooks *prepared;

static void before_fork(void)
{
    struct kmse_fork_hooks *first = atomic_load(&outermost);
    if (first != NULL)
        first->prepare(first->arg);
    pthread_mutex_lock(&list_mutex);
    prepared = first;
    for (struct kmse_fork_hooks *h = list; h != NULL; h = h->next)
        h->prepare(h->arg);
}

static void after_fork_parent(void)
{
    for (struct kmse_fork_hooks *h = list; h != NULL; h = h->next)
        h->parent(h->arg);
    struct kmse_fork_hooks *last = prepared;
    pthread_mutex_unlock(&list_mutex);
    if (last != NULL)
        last->parent(last->arg);
}

static void after_fork_child(void)
{
    for (struct kmse_fork_hooks *h = list; h != NULL; h = h->next)
        h->child(h->arg);
    struct kmse_fork_hooks *last = prepared;
    pthread_mutex_unlock(&list_mutex);
    if (last != NULL)
        last->child(last->arg);
}

static void at_exit(void)
{
    struct kmse_fork_hooks *first = atomic_load(&outermost);
    if (first != NULL && first->at_exit != NULL)
        first->at_exit(first->arg);
    pthread_mutex_lock(&list_mutex);
    ended = true;
    for (struct kmse_fork_hooks *h = list; h != NULL; h = h->next) {
        if (h->at_exit != NULL)
            h->at_exit(h->arg);
    }
    pthread_mutex_unlock(&list_mutex);
}

/*
 * OpenSSL 4 cleans up when a program asks it to, and not at its end: there is
 * nothing to be ahead of but libc's own end.
 */
static bool call_at_exit(void (*handler)(void))
{
#if OPENSSL_VERSION_MAJOR >= 4
    return atexit(handler) == 0;
#else
    return OPENSSL_atexit(handler) == 1;
#endif
}

static void install_handlers(void)
{
    handlers_installed =
        call_at_exit(at_exit)
        && pthread_atfork(before_fork, after_fork_parent, after_fork_child)
               == 0;
}

static bool locked_is_watched(const struct kmse_fork_hooks *hooks)
{
    const struct kmse_fork_hooks *h = list;
    while (h != NULL && h != hooks)
        h = h->next;
    return h != NULL;
}

static kmse_st locked_watch(struct kmse_fork_hooks *hooks)
{
    if (ended)
        return KMSE_ERR(KMSE_R_INTERRUPTED);
    if (locked_is_watched(hooks))
        return KMSE_OK;
    hooks->previous = NULL;
    hooks->next = list;
    if (list != NULL)
        list->previous = hooks;
    list = hooks;
    return KMSE_OK;
}

kmse_st kmse_fork_watch(struct kmse_fork_hooks *hooks)
{
    pthread_once(&handlers_once, install_handlers);
    if (!handlers_installed)
        return KMSE_ERR(KMSE_R_MEMORY);
    pthread_mutex_lock(&list_mutex);
    kmse_st st = locked_watch(hooks);
    pthread_mutex_unlock(&list_mutex);
    return st;
}

kmse_st kmse_fork_watch_outermost(struct kmse_fork_hooks *hooks)
{
    pthread_once(&handlers_once, install_handlers);
    if (!handlers_installed)
        return KMSE_ERR(KMSE_R_MEMORY);
    atomic_store(&outermost, hooks);
    return KMSE_OK;
}

void kmse_fork_unwatch(struct kmse_fork_hooks *hooks)
{
    pthread_mutex_lock(&list_mutex);
    if (hooks->previous != NULL)
        hooks->previous->next = hooks->next;
    else
        list = hooks->next;
    if (hooks->next != NULL)
        hooks->next->previous = hooks->previous;
    pthread_mutex_unlock(&list_mutex);
}
