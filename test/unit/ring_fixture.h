/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_RING_FIXTURE_H
#define KMSE_TEST_UNIT_RING_FIXTURE_H

#include "test.h"

#include "keyring/ring.h"
#include "keyring/rotation.h"

/*
 * A ring over a folder with one key, under a clock that stands still unless
 * told, with a KMS that counts, fails and hangs as told: programs that use it
 * are linked with --wrap=kmse_keyfile_unwrap.
 */
extern _Atomic uint64_t ring_time_ms;
extern _Atomic unsigned ring_clock_reads; /* of milliseconds */

extern _Atomic unsigned ring_unwraps;
extern _Atomic unsigned ring_unwraps_waited_for; /* not the refresher's */
extern _Atomic int ring_failure;                 /* a reason; 0: none */
/* The refresher's calls hang, until interrupted or let go. */
extern _Atomic bool ring_hangs;
extern _Atomic unsigned ring_hanging; /* calls that hang now */

struct ring_fixture {
    char folder[64];
    char uri[128];
    struct kmse_rotation rotation;
    struct kmse_ring *ring;
};
extern struct ring_fixture ring_fixture;

enum { RING_MAX_AGE_MS = 300000, RING_STALE_MS = 3600000 };

int ring_set_up(void **state);
int ring_tear_down(void **state);
#define RING_STORY(f)                                                          \
    cmocka_unit_test_setup_teardown(f, ring_set_up, ring_tear_down)

/* Over the same folder; what is 0 in changes stays as it is. */
void ring_make(const struct kmse_ring_options *changes);
struct kmse_key *ring_key(void);
/* One more version; its unwraps are not counted. */
uint32_t ring_rotate(int64_t active_in_s);
/* The version of a lease to write with. */
uint32_t ring_newest(struct kmse_lease **lease);

#endif
