/* SPDX-License-Identifier: Apache-2.0 */
/* A ring whose time and KMS are the test's. */
#include "ring_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/interrupt.h"
#include "keyring/keyfile.h"

/* --- time stands still unless told -------------------------------------- */

_Atomic uint64_t ring_time_ms;
_Atomic unsigned ring_clock_reads;
static const int64_t EPOCH_S = 1800000000;

static uint64_t fake_ms(void *arg)
{
    (void)arg;
    ring_clock_reads++;
    return ring_time_ms;
}

static int64_t fake_wall_s(void *arg)
{
    (void)arg;
    return EPOCH_S + (int64_t)(ring_time_ms / 1000);
}

static const struct kmse_clock CLOCK = {fake_ms, fake_ms, fake_wall_s, NULL};

/* --- ring_unwraps are counted, and fail when told ----------------------------
 */

_Atomic unsigned ring_unwraps;
_Atomic unsigned ring_unwraps_waited_for;
_Atomic int ring_failure;
/* A KMS that does not answer: calls hang until they are interrupted or let go.
 * How many hang now. */
_Atomic bool ring_hangs;
_Atomic unsigned ring_hanging;

static kmse_st hang(struct kmse_why *why)
{
    struct kmse_interrupt *interrupt = kmse_interrupt_current();
    if (interrupt == NULL)
        return KMSE_OK; /* a message's: nobody would let it go */
    ring_hanging++;
    while (ring_hangs && !kmse_interrupt_is_raised(interrupt))
        kmse_interrupt_sleep(interrupt, 1);
    ring_hanging--;
    return kmse_interrupt_is_raised(interrupt)
               ? kmse_fail(why, KMSE_R_INTERRUPTED, "as told")
               : KMSE_OK;
}

kmse_st __real_kmse_keyfile_unwrap(struct kmse_secret *, struct kmse_kms *,
                                   struct kmse_crypto *,
                                   const struct kmse_keyfile *,
                                   const struct kmse_version *,
                                   struct kmse_why *);
kmse_st __wrap_kmse_keyfile_unwrap(struct kmse_secret *, struct kmse_kms *,
                                   struct kmse_crypto *,
                                   const struct kmse_keyfile *,
                                   const struct kmse_version *,
                                   struct kmse_why *);

kmse_st __wrap_kmse_keyfile_unwrap(struct kmse_secret *data_key,
                                   struct kmse_kms *kms,
                                   struct kmse_crypto *crypto,
                                   const struct kmse_keyfile *file,
                                   const struct kmse_version *version,
                                   struct kmse_why *why)
{
    ring_unwraps++;
    if (kmse_interrupt_current() == NULL)
        ring_unwraps_waited_for++;
    KMSE_TRY(hang(why));
    if (ring_failure != 0)
        return kmse_fail(why, ring_failure, "as told");
    return __real_kmse_keyfile_unwrap(data_key, kms, crypto, file, version,
                                      why);
}

/* --- a folder with a key, and a ring over it ---------------------------- */

struct ring_fixture ring_fixture;

void ring_make(const struct kmse_ring_options *changes)
{
    struct kmse_ring_options options = {
        .folder = ring_fixture.folder,
        .default_key = "emails",
        .max_age_ms = RING_MAX_AGE_MS,
        .stale_ms = RING_STALE_MS,
        .max_messages = 1 << 20,
        .max_bytes = 1 << 30,
    };
    if (changes != NULL && changes->max_messages != 0)
        options.max_messages = changes->max_messages;
    if (changes != NULL && changes->max_bytes != 0)
        options.max_bytes = changes->max_bytes;
    if (changes != NULL)
        options.kms = changes->kms;
    struct kmse_crypto *crypto = NULL;
    expect_ok(kmse_crypto_new(&crypto, NULL, false));
    expect_ok(kmse_ring_new(&ring_fixture.ring, &options, crypto, &CLOCK));
}

int ring_set_up(void **state)
{
    (void)state;
    struct kmse_rotation *r = &ring_fixture.rotation;
    ring_failure = 0;
    ring_hangs = false;
    snprintf(ring_fixture.folder, sizeof(ring_fixture.folder),
             "/tmp/kmse-ring-XXXXXX");
    if (mkdtemp(ring_fixture.folder) == NULL)
        return -1;
    snprintf(ring_fixture.uri, sizeof(ring_fixture.uri), "local:%s/master.key",
             ring_fixture.folder);
    r->folder = ring_fixture.folder;
    r->clock = &CLOCK;
    expect_ok(kmse_crypto_new(&r->crypto, NULL, false));
    expect_ok(kmse_pool_new(&r->pool));
    expect_ok(kmse_kms_new(&r->kms, r->crypto, r->pool, r->clock, NULL));
    const char *uris[] = {ring_fixture.uri};
    struct kmse_why why = {""};
    kmse_st st = kmse_rotation_create(r, "emails", uris, 1, NULL, NULL, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    ring_make(NULL);
    ring_unwraps = 0;
    return 0;
}

int ring_tear_down(void **state)
{
    (void)state;
    char command[128];
    kmse_ring_release(ring_fixture.ring);
    kmse_kms_free(ring_fixture.rotation.kms);
    kmse_pool_free(ring_fixture.rotation.pool);
    kmse_crypto_free(ring_fixture.rotation.crypto);
    snprintf(command, sizeof(command), "rm -r '%s'", ring_fixture.folder);
    return system(command);
}

struct kmse_key *ring_key(void)
{
    struct kmse_key *found = NULL;
    struct kmse_why why = {""};
    kmse_st st = kmse_ring_find(ring_fixture.ring, "", &found, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    return found;
}

uint32_t ring_rotate(int64_t active_in_s)
{
    uint32_t number = 0;
    unsigned before = ring_unwraps;
    expect_ok(kmse_rotation_rotate(&ring_fixture.rotation, "emails",
                                   active_in_s, &number, NULL));
    ring_unwraps = before;
    return number;
}

uint32_t ring_newest(struct kmse_lease **lease)
{
    struct kmse_why why = {""};
    kmse_st st = kmse_lease_newest(lease, ring_key(), &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    return (*lease)->datakey->version;
}
