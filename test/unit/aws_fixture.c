/* SPDX-License-Identifier: Apache-2.0 */
/* A world to look for AWS credentials in. */
#include "aws_fixture.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "kms/aws_source.h"
#include "kms/xml.h"

extern char **environ;

/* --- what is freed ------------------------------------------------------ */

/*
 * Every block that is freed while credentials are looked for is searched for
 * what is secret (linked with --wrap=free). The blocks of libraries are not
 * seen.
 */
static atomic_bool is_watched;
static atomic_uint left_behind;

void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory)
{
    static const char *const SECRETS[] = {AWS_SECRET, AWS_TOKEN, AWS_IMDS_TOKEN,
                                          AWS_JWT};
    if (memory != NULL && atomic_load(&is_watched)) {
        size_t len = malloc_usable_size(memory);
        for (size_t i = 0; i < AWS_COUNT(SECRETS); i++)
            if (memmem(memory, len, SECRETS[i], strlen(SECRETS[i])) != NULL)
                atomic_fetch_add(&left_behind, 1);
    }
    __real_free(memory);
}

static void watch(void)
{
    atomic_store(&left_behind, 0);
    atomic_store(&is_watched, true);
}

static void expect_nothing_left(void)
{
    atomic_store(&is_watched, false);
    assert_int_equal(atomic_load(&left_behind), 0);
}

/* --- the clock ---------------------------------------------------------- */

static uint64_t elapsed_ms(void *arg)
{
    struct aws_fixture *f = arg;
    return atomic_load(&f->elapsed_ms);
}

static int64_t wall_s(void *arg)
{
    struct aws_fixture *f = arg;
    return AWS_NOW_S + (int64_t)(atomic_load(&f->elapsed_ms) / 1000)
           + atomic_load(&f->skew_s);
}

void aws_pass(struct aws_fixture *f, uint64_t ms)
{
    atomic_fetch_add(&f->elapsed_ms, ms);
}

static void wait_ms(void *arg, uint32_t ms)
{
    struct aws_fixture *f = arg;
    aws_pass(f, ms);
    pthread_mutex_lock(&f->mutex);
    f->waits++;
    pthread_mutex_unlock(&f->mutex);
}

/* --- HTTP --------------------------------------------------------------- */

static char *joined(const char *const *lines)
{
    size_t size = 1;
    for (size_t i = 0; lines[i] != NULL; i++)
        size += strlen(lines[i]) + 1;
    char *text = calloc(1, size);
    for (size_t i = 0; text != NULL && lines[i] != NULL; i++) {
        strncat(text, lines[i], size - strlen(text) - 1);
        strncat(text, "\n", size - strlen(text) - 1);
    }
    return text;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text != NULL ? text : "");
}

static void keep(struct aws_asked *asked,
                 const struct kmse_http_request *request)
{
    copy(asked->method, sizeof(asked->method), request->method);
    copy(asked->url, sizeof(asked->url), request->url);
    copy(asked->proxy, sizeof(asked->proxy), request->proxy);
    copy(asked->no_proxy, sizeof(asked->no_proxy), request->no_proxy);
    copy(asked->ca_bundle, sizeof(asked->ca_bundle), request->ca_bundle);
    asked->headers = joined(request->headers);
    asked->body = calloc(1, request->body_len + 1);
    if (asked->body != NULL && request->body != NULL)
        memcpy(asked->body, request->body, request->body_len);
    asked->allow_http = request->allow_http;
    asked->timeout_ms = request->timeout_ms;
    asked->connect_timeout_ms = request->connect_timeout_ms;
}

static kmse_st fill(struct kmse_http_answer *answer,
                    const struct aws_answer *scripted, size_t answer_max,
                    struct kmse_why *why)
{
    size_t len = strlen(scripted->body);
    if (len > answer_max)
        return kmse_fail(why, KMSE_R_KMS_ANSWER, "scripted: too long");
    uint8_t *body = calloc(1, len + 1);
    if (body == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    memcpy(body, scripted->body, len);
    *answer = (struct kmse_http_answer){
        .status = scripted->status, .body = body, .body_len = len};
    copy(answer->date, sizeof(answer->date), scripted->date);
    return KMSE_OK;
}

/* Asked more than scripted: nobody is there. */
static kmse_st perform(void *arg, const struct kmse_http_request *request,
                       struct kmse_http_answer *answer, struct kmse_why *why)
{
    struct aws_fixture *f = arg;
    struct aws_answer scripted = {.reason = KMSE_R_KMS_UNREACHABLE};
    pthread_mutex_lock(&f->mutex);
    if (f->requests < f->answers)
        scripted = f->script[f->requests];
    if (f->requests < AWS_SCRIPT_MAX)
        keep(&f->asked[f->requests], request);
    f->requests++;
    if (scripted.blocks) {
        f->blocked = true;
        pthread_cond_broadcast(&f->changed);
        while (!f->let_go)
            pthread_cond_wait(&f->changed, &f->mutex);
        f->let_go = f->blocked = false;
    }
    pthread_mutex_unlock(&f->mutex);
    if (scripted.reason != 0)
        return kmse_fail(why, scripted.reason, "scripted");
    return fill(answer, &scripted, request->answer_max, why);
}

void aws_will(struct aws_fixture *f, struct aws_answer answer)
{
    pthread_mutex_lock(&f->mutex);
    assert_true(f->answers < AWS_SCRIPT_MAX);
    if (f->answers < f->requests)
        f->answers = f->requests;
    f->script[f->answers++] = answer;
    pthread_mutex_unlock(&f->mutex);
}

void aws_will_answer(struct aws_fixture *f, int status, const char *body)
{
    aws_will(f, (struct aws_answer){.status = status, .body = body});
}

void aws_will_fail(struct aws_fixture *f, int reason)
{
    aws_will(f, (struct aws_answer){.reason = reason});
}

/* So that no secret of the tests is found in a block that is used again. */
static void free_wiped(char *text)
{
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

void aws_forget(struct aws_fixture *f)
{
    for (size_t i = 0; i < AWS_SCRIPT_MAX; i++) {
        free_wiped(f->asked[i].headers);
        free_wiped(f->asked[i].body);
        f->asked[i] = (struct aws_asked){.headers = NULL};
    }
    f->answers = f->requests = 0;
    f->waits = 0;
}

void aws_await_blocked(struct aws_fixture *f)
{
    pthread_mutex_lock(&f->mutex);
    while (!f->blocked)
        pthread_cond_wait(&f->changed, &f->mutex);
    pthread_mutex_unlock(&f->mutex);
}

void aws_let_go(struct aws_fixture *f)
{
    pthread_mutex_lock(&f->mutex);
    f->let_go = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

size_t aws_requests(struct aws_fixture *f)
{
    pthread_mutex_lock(&f->mutex);
    size_t requests = f->requests;
    pthread_mutex_unlock(&f->mutex);
    return requests;
}

char *aws_header(const struct aws_asked *asked, const char *name)
{
    size_t len = strlen(name);
    const char *line = asked->headers;
    while (line != NULL && *line != '\0') {
        size_t line_len = strcspn(line, "\n");
        if (strncasecmp(line, name, len) == 0
            && strncmp(line + len, ": ", 2) == 0)
            return strndup(line + len + 2, line_len - len - 2);
        line += line_len + 1;
    }
    return NULL;
}

void aws_expect_header(const struct aws_asked *asked, const char *name,
                       const char *value)
{
    char *found = aws_header(asked, name);
    if (value == NULL)
        assert_null(found);
    else if (found == NULL)
        fail_msg("no header %s in %s", name, asked->headers);
    else
        assert_string_equal(found, value);
    free_wiped(found);
}

void aws_expect_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" has no \"%s\"", text, part);
}

void aws_expect_no_text(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("\"%s\" has \"%s\"", text, part);
}

/* --- answers ------------------------------------------------------------ */

enum { ANSWERS = 8, ANSWER_LEN = 1024 };

/* Good until eight more are made. */
static char *next_answer(void)
{
    static char answers[ANSWERS][ANSWER_LEN];
    static size_t next;
    return answers[next++ % ANSWERS];
}

const char *aws_json(const char *id, const char *expires)
{
    char *text = next_answer();
    snprintf(text, ANSWER_LEN,
             "{\"Code\": \"Success\", \"AccessKeyId\": \"%s\","
             " \"SecretAccessKey\": \"" AWS_SECRET "\","
             " \"Token\": \"" AWS_TOKEN "\", \"Expiration\": \"%s\"}",
             id, expires);
    return text;
}

const char *aws_sts(const char *action, const char *id, const char *expires)
{
    char *text = next_answer();
    snprintf(text, ANSWER_LEN,
             "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
             "\n <%sResult><Credentials><AccessKeyId>%s</AccessKeyId>"
             "<SecretAccessKey>" AWS_SECRET "</SecretAccessKey>"
             "<SessionToken>" AWS_TOKEN "</SessionToken>"
             "<Expiration>%s</Expiration></Credentials>"
             "<AssumedRoleUser><Arn>a</Arn></AssumedRoleUser></%sResult>"
             "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
             "</%sResponse>",
             action, action, id, expires, action, action);
    return text;
}

/* --- the world ---------------------------------------------------------- */

/* Not by stdio, whose buffer would be a block with a secret in it. */
void aws_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void clear_environment(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(environ[i], "="),
                 environ[i]);
        if (strncmp(name, "AWS_", strlen("AWS_")) == 0)
            unsetenv(name);
        else
            i++;
    }
}

static void make_home(struct aws_fixture *f)
{
    snprintf(f->home, sizeof(f->home), "/tmp/kmse-aws-XXXXXX");
    assert_non_null(mkdtemp(f->home));
    snprintf(f->aws, sizeof(f->aws), "%s/.aws", f->home);
    snprintf(f->credentials, sizeof(f->credentials), "%s/credentials", f->aws);
    snprintf(f->config, sizeof(f->config), "%s/config", f->aws);
    snprintf(f->token, sizeof(f->token), "%s/token", f->aws);
    assert_int_equal(mkdir(f->aws, 0700), 0);
    setenv("HOME", f->home, 1);
}

int aws_setup(void **state)
{
    struct aws_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    clear_environment();
    make_home(f);
    expect_ok(kmse_crypto_new(&f->crypto, NULL, false));
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->http = (struct kmse_http){
        .arg = f, .perform = perform, .xml_texts = kmse_xml_texts};
    f->clock = (struct kmse_clock){.elapsed_ms = elapsed_ms,
                                   .coarse_ms = elapsed_ms,
                                   .wall_s = wall_s,
                                   .arg = f};
    f->wait = (struct kmse_aws_wait){wait_ms, f};
    *state = f;
    return 0;
}

int aws_teardown(void **state)
{
    struct aws_fixture *f = *state;
    unlink(f->credentials);
    unlink(f->config);
    unlink(f->token);
    rmdir(f->aws);
    int removed = rmdir(f->home);
    aws_forget(f);
    kmse_aws_options_wipe(&f->options);
    kmse_crypto_free(f->crypto);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
    free(f);
    return removed;
}

/* --- a search ----------------------------------------------------------- */

enum { TIMEOUT_MS = 5000 };

struct aws_found aws_look(struct aws_fixture *f, bool instance_expected)
{
    struct aws_found found = {.st = KMSE_OK};
    struct kmse_retry_bucket bucket;
    expect_ok(kmse_retry_bucket_init(&bucket));
    const struct kmse_aws_search search = {
        .crypto = f->crypto,
        .options = &f->options,
        .http = &f->http,
        .clock = &f->clock,
        .instance_expected = instance_expected,
        .deadline_ms = atomic_load(&f->elapsed_ms) + TIMEOUT_MS,
        .wait = f->wait,
        .bucket = &bucket,
    };
    f->why.text[0] = '\0';
    expect_ok(kmse_aws_credentials_new(&found.credentials));
    watch();
    found.st = kmse_aws_search_all(&search, found.credentials,
                                   &found.from_instance, &f->why);
    expect_nothing_left();
    f->tokens = bucket.tokens;
    kmse_retry_bucket_wipe(&bucket);
    return found;
}

void aws_expect_expiring(struct aws_fixture *f, const char *id,
                         const char *source, int64_t expires_s)
{
    struct aws_found found = aws_look(f, false);
    if (!kmse_is_ok(found.st))
        fail_msg("%s: %s", kmse_reason_text(found.st.reason), f->why.text);
    assert_string_equal(found.credentials->access_key_id, id);
    assert_string_equal(found.credentials->secret_access_key, AWS_SECRET);
    aws_expect_text(found.credentials->source, source);
    assert_int_equal(found.credentials->expires_s, expires_s);
    kmse_aws_credentials_release(found.credentials);
}

void aws_expect_found(struct aws_fixture *f, const char *id, const char *source)
{
    aws_expect_expiring(f, id, source, 0);
}

void aws_expect_failed(struct aws_fixture *f, bool instance_expected,
                       int reason, const char *why)
{
    struct aws_found found = aws_look(f, instance_expected);
    if (found.st.reason != reason)
        fail_msg("\"%s\" instead of \"%s\": %s",
                 kmse_reason_text(found.st.reason), kmse_reason_text(reason),
                 f->why.text);
    aws_expect_text(f->why.text, why);
    aws_expect_no_text(f->why.text, AWS_SECRET);
    aws_expect_no_text(f->why.text, AWS_TOKEN);
    assert_string_equal(found.credentials->secret_access_key, "");
    assert_string_equal(found.credentials->session_token, "");
    kmse_aws_credentials_release(found.credentials);
}

void aws_expect_refused(struct aws_fixture *f, const char *why)
{
    aws_expect_failed(f, false, KMSE_R_KMS_CREDENTIALS, why);
}

char *aws_text_of(const char *literal)
{
    char *text = strdup(literal);
    assert_non_null(text);
    return text;
}

void aws_set_keys(const char *id)
{
    setenv("AWS_ACCESS_KEY_ID", id, 1);
    setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET, 1);
}

void aws_unset_keys(void)
{
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
}
