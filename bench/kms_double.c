/* SPDX-License-Identifier: Apache-2.0 */
/* A KMS on loopback, in the mood that it is told. */
#include "kms_double.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

enum {
    BACKLOG = 128,
    POLL_MS = 2,
    REQUEST_MAX = 16384,
    FIELD_MAX = 512,
    BODY_MAX = 2048,
    DATA_KEY_LEN = 32,
    STATUS_OK = 200,
    STATUS_BAD = 400,
};

static void give_up(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* --- requests ----------------------------------------------------------- */

/* The whole request, as text; false: it broke off. */
static bool receive(int fd, char request[REQUEST_MAX])
{
    size_t len = 0, wanted = REQUEST_MAX;
    while (len < wanted) {
        ssize_t got = recv(fd, request + len, REQUEST_MAX - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
        request[len] = '\0';
        const char *body = strstr(request, "\r\n\r\n");
        const char *length = strcasestr(request, "\r\ncontent-length:");
        if (body != NULL && length != NULL)
            wanted = (size_t)(body - request) + strlen("\r\n\r\n")
                     + strtoul(strchr(length, ':') + 1, NULL, 10);
    }
    return true;
}

static void send_answer(int fd, int status, const char *body)
{
    char answer[REQUEST_MAX];
    int len = snprintf(answer, sizeof(answer),
                       "HTTP/1.1 %d -\r\n"
                       "Content-Type: application/x-amz-json-1.1\r\n"
                       "x-amzn-RequestId: 0\r\nConnection: close\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       status, strlen(body), body);
    if (send(fd, answer, (size_t)len, MSG_NOSIGNAL) != len)
        shutdown(fd, SHUT_RDWR);
}

static void read_field(char out[FIELD_MAX], const char *request,
                       const char *name)
{
    char begin[FIELD_MAX];
    snprintf(begin, sizeof(begin), "\"%s\":\"", name);
    const char *found = strstr(request, begin);
    size_t len = 0;
    if (found != NULL) {
        found += strlen(begin);
        len = strcspn(found, "\"");
    }
    snprintf(out, FIELD_MAX, "%.*s", (int)len, found != NULL ? found : "");
}

/* The blob of a data key is the data key. */
static void answer_well(int fd, const char *request)
{
    char data_key[FIELD_MAX], body[BODY_MAX];
    uint8_t bytes[DATA_KEY_LEN];
    if (strstr(request, ".Decrypt") != NULL) {
        read_field(data_key, request, "CiphertextBlob");
    } else if (strstr(request, ".Encrypt") != NULL) {
        read_field(data_key, request, "Plaintext");
    } else {
        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
            give_up("RAND_bytes");
        EVP_EncodeBlock((unsigned char *)data_key, bytes, sizeof(bytes));
    }
    snprintf(body, sizeof(body),
             "{\"KeyId\":\"" KMS_ARN "\",\"CiphertextBlob\":\"%s\","
             "\"Plaintext\":\"%s\"}",
             data_key, data_key);
    send_answer(fd, STATUS_OK, body);
}

static void serve(int fd, enum kms_mood mood)
{
    char request[REQUEST_MAX];
    if (!receive(fd, request))
        return;
    if (mood == KMS_THROTTLING)
        send_answer(fd, STATUS_BAD, "{\"__type\":\"ThrottlingException\"}");
    else if (mood == KMS_DENYING)
        send_answer(fd, STATUS_BAD, "{\"__type\":\"AccessDeniedException\"}");
    else
        answer_well(fd, request);
}

/* --- the socket --------------------------------------------------------- */

static int listen_on(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(*port)};
    socklen_t len = sizeof(address);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0
        || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0
        || listen(fd, BACKLOG) != 0
        || getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        give_up("a KMS on loopback");
    *port = ntohs(address.sin_port);
    return fd;
}

static void follow_mood(struct kms_double *kms, enum kms_mood mood)
{
    if (mood == KMS_REFUSING && kms->fd >= 0) {
        close(kms->fd);
        kms->fd = -1;
    } else if (mood != KMS_REFUSING && kms->fd < 0) {
        kms->fd = listen_on(&kms->port);
    }
}

static void *run(void *arg)
{
    struct kms_double *kms = arg;
    while (!kms->over) {
        enum kms_mood mood = (enum kms_mood)kms->mood;
        follow_mood(kms, mood);
        bool hears = kms->fd >= 0 && mood != KMS_SILENT;
        struct pollfd ready = {.fd = hears ? kms->fd : -1, .events = POLLIN};
        if (poll(&ready, 1, POLL_MS) != 1)
            continue;
        int fd = accept4(kms->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        serve(fd, mood);
        close(fd);
    }
    return NULL;
}

void kms_double_start(struct kms_double *kms)
{
    *kms = (struct kms_double){.mood = KMS_UP};
    kms->fd = listen_on(&kms->port);
    if (pthread_create(&kms->thread, NULL, run, kms) != 0)
        give_up("a thread for a KMS");
}

void kms_double_stop(struct kms_double *kms)
{
    kms->over = true;
    pthread_join(kms->thread, NULL);
    if (kms->fd >= 0)
        close(kms->fd);
}
