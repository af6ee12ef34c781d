/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the HTTP module: what servers cannot bring about. */
#include "test.h"

#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "http/connection.h"
#include "http/guest.h"

/* Linked with --wrap: each block that our code gives back passes here. */
static const char SECRET[] = "geheim-geheim-geheim";
static size_t freed_count, freed_with_secret;

void __real_free(void *bytes);
void __wrap_free(void *bytes);

void __wrap_free(void *bytes)
{
    if (bytes != NULL) {
        freed_count++;
        freed_with_secret +=
            memmem(bytes, malloc_usable_size(bytes), SECRET, strlen(SECRET))
            != NULL;
    }
    __real_free(bytes);
}

/* libcurl makes room for it several times. */
static void let_libcurl_hold_the_secret(void)
{
    enum { TIMES = 200 };
    char text[TIMES * sizeof(SECRET)] = "";
    for (size_t i = 0; i < TIMES; i++)
        memcpy(text + i * strlen(SECRET), SECRET, strlen(SECRET));
    freed_count = freed_with_secret = 0;
    char *escaped = curl_easy_escape(NULL, text, 0);
    assert_non_null(strstr(escaped, SECRET));
    curl_free(escaped);
}

static void what_libcurl_frees_for_us_is_wiped(void **state)
{
    struct kmse_guest guest;
    (void)state;
    kmse_guest_enter(&guest);
    let_libcurl_hold_the_secret();
    kmse_guest_leave(&guest);
    assert_true(freed_count > 1);
    assert_int_equal(freed_with_secret, 0);
}

/* It costs others nothing, and shows that the search above finds something. */
static void what_it_frees_for_others_is_not(void **state)
{
    (void)state;
    let_libcurl_hold_the_secret();
    assert_true(freed_with_secret > 0);
}

/* --- SIGPIPE ------------------------------------------------------------ */

static bool is_blocked(void)
{
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, SIGPIPE) == 1;
}

static bool is_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static void write_to_nobody(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1);
    close(ends[1]);
}

static void a_sigpipe_is_kept_from_the_program(void **state)
{
    struct kmse_guest guest;
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    kmse_guest_enter(&guest);
    write_to_nobody();
    assert_true(is_pending());
    kmse_guest_leave(&guest);
    assert_false(is_pending());
    assert_false(is_blocked());
}

static void a_sigpipe_of_the_programs_own_stays(void **state)
{
    struct kmse_guest guest;
    sigset_t pipe;
    int got = 0;
    (void)state;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    write_to_nobody();
    kmse_guest_enter(&guest);
    write_to_nobody();
    kmse_guest_leave(&guest);
    assert_true(is_blocked() && is_pending());
    assert_int_equal(sigwait(&pipe, &got), 0);
    pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
}

/* --- connections ------------------------------------------------------------
 */

static struct kmse_connection *take(const void *owner)
{
    struct kmse_connection *taken = NULL;
    expect_ok(kmse_connection_take(&taken, owner, NULL));
    return taken;
}

static CURLcode try_url(struct kmse_connection *connection, const char *url)
{
    curl_easy_reset(connection->easy);
    assert_true(kmse_connection_set_up(connection));
    curl_easy_setopt(connection->easy, CURLOPT_URL, url);
    curl_easy_setopt(connection->easy, CURLOPT_NOPROXY, "*");
    return curl_easy_perform(connection->easy);
}

/* A name may say loopback, and a name server something else. */
static void a_socket_to_elsewhere_is_not_opened(void **state)
{
    static const char *const ELSEWHERE[] = {
        "http://192.0.2.1:1/", "http://[2001:db8::1]:1/",
        "http://[::ffff:192.0.2.1]:1/", "http://0.0.0.0:1/"};
    static const char *const HERE[] = {"http://127.9.9.9:1/",
                                       "http://localhost:1/"};
    struct kmse_connection *connection = take(&ELSEWHERE);
    (void)state;
    connection->loopback_only = true;
    for (size_t i = 0; i < sizeof(ELSEWHERE) / sizeof(ELSEWHERE[0]); i++) {
        assert_int_not_equal(try_url(connection, ELSEWHERE[i]), CURLE_OK);
        assert_true(connection->refused);
    }
    for (size_t i = 0; i < sizeof(HERE) / sizeof(HERE[0]); i++) {
        assert_int_equal(try_url(connection, HERE[i]), CURLE_COULDNT_CONNECT);
        assert_false(connection->refused);
    }
    kmse_connection_give_back(connection);
    kmse_connections_close(&ELSEWHERE);
}

static void a_connection_is_its_owners_until_it_is_closed(void **state)
{
    int one = 1, two = 2;
    (void)state;
    struct kmse_connection *first = take(&one);
    struct kmse_connection *second = take(&one);
    assert_ptr_not_equal(second, first);
    kmse_connection_give_back(first);
    struct kmse_connection *others = take(&two);
    assert_ptr_not_equal(others, first);
    assert_ptr_equal(take(&one), first);
    kmse_connection_give_back(others);
    kmse_connections_close(&two);
    assert_null(others->easy);
    assert_non_null(first->easy);
    kmse_connection_give_back(first);
    kmse_connection_give_back(second);
    kmse_connections_close(&one);
    assert_null(second->easy);
}

static int start(void **state)
{
    (void)state;
    assert_true(kmse_guest_start());
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_libcurl_frees_for_us_is_wiped),
        cmocka_unit_test(what_it_frees_for_others_is_not),
        cmocka_unit_test(a_sigpipe_is_kept_from_the_program),
        cmocka_unit_test(a_sigpipe_of_the_programs_own_stays),
        cmocka_unit_test(a_socket_to_elsewhere_is_not_opened),
        cmocka_unit_test(a_connection_is_its_owners_until_it_is_closed),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
