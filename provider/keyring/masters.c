/* SPDX-License-Identifier: Apache-2.0 */
/* Master keys by name: each once, in the form that key files keep. */
#include "keyring/masters.h"

#include <stdlib.h>
#include <string.h>

bool kmse_masters_has(const struct kmse_masters *masters, const char *uri)
{
    for (size_t i = 0; i < masters->count; i++) {
        if (strcmp(masters->uris[i], uri) == 0)
            return true;
    }
    return false;
}

kmse_st kmse_masters_add(struct kmse_masters *masters, char **uri,
                         struct kmse_why *why)
{
    if (kmse_masters_has(masters, *uri))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "the master key %s is named twice", *uri);
    char **grown =
        realloc(masters->uris, (masters->count + 1) * sizeof(*grown));
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    grown[masters->count++] = *uri;
    masters->uris = grown;
    *uri = NULL;
    return KMSE_OK;
}

kmse_st kmse_masters_resolve(struct kmse_masters *masters,
                             const struct kmse_rotation *r,
                             const char *const *uris, size_t count,
                             struct kmse_why *why)
{
    struct kmse_masters made = {0};
    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < count && kmse_is_ok(st); i++) {
        char *resolved = NULL;
        st = kmse_kms_resolve(&resolved, r->kms, uris[i], why);
        if (kmse_is_ok(st))
            st = kmse_masters_add(&made, &resolved, why);
        free(resolved);
    }
    if (!kmse_is_ok(st)) {
        kmse_masters_wipe(&made);
        return st;
    }
    *masters = made;
    return KMSE_OK;
}

void kmse_masters_wipe(struct kmse_masters *masters)
{
    for (size_t i = 0; i < masters->count; i++)
        free(masters->uris[i]);
    free(masters->uris);
    *masters = (struct kmse_masters){0};
}

kmse_st kmse_masters_ensure(const struct kmse_masters *masters, size_t from,
                            const struct kmse_rotation *r, struct kmse_why *why)
{
    for (size_t i = from; i < masters->count; i++)
        KMSE_TRY(kmse_kms_ensure(r->kms, masters->uris[i], NULL, why));
    return KMSE_OK;
}
