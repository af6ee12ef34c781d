/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BENCH_KMS_DOUBLE_H
#define KMSE_BENCH_KMS_DOUBLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * As much of AWS KMS as a benchmark needs, over HTTP on loopback: it wraps a
 * data key by writing it down. A thread of this process answers one request at
 * a time, on a connection each.
 */
enum kms_mood {
    KMS_UP,
    KMS_REFUSING,   /* nobody listens on its port */
    KMS_SILENT,     /* takes connections and requests, and never answers */
    KMS_THROTTLING, /* 400 ThrottlingException */
    KMS_DENYING,    /* 400 AccessDeniedException */
};

#define KMS_ARN                                                                \
    "arn:aws:kms:eu-central-1:111122223333:key/"                               \
    "1234abcd-12ab-34cd-56ef-1234567890ab"

struct kms_double {
    uint16_t port;
    _Atomic int mood; /* enum kms_mood */
    int fd;           /* the thread's; -1: closed */
    _Atomic bool over;
    pthread_t thread;
};

/* What cannot be done ends the program. */
void kms_double_start(struct kms_double *kms);
void kms_double_stop(struct kms_double *kms);

#endif
