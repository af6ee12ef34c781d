/* SPDX-License-Identifier: Apache-2.0 */
/* Results become entries of OpenSSL's error queue. */
#include "glue/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

/* OSSL_ITEM has no const; OpenSSL copies the strings. */
#define KMSE_REASON_ARRAY(name, number, text) static char text_##name[] = text;
KMSE_REASONS(KMSE_REASON_ARRAY)
#undef KMSE_REASON_ARRAY

const OSSL_ITEM kmse_reason_strings[] = {
#define KMSE_REASON_ITEM(name, number, text) {number, text_##name},
    KMSE_REASONS(KMSE_REASON_ITEM)
#undef KMSE_REASON_ITEM
        {0, NULL},
};

static void set_error(const struct kmse_core *core, int reason,
                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    core->vset_error(core->handle, (uint32_t)reason, format, args);
    va_end(args);
}

/* Paths of the machine that built us mean nothing to the reader. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

void kmse_raise_at(const struct kmse_core *core, kmse_st st,
                   const struct kmse_why *why, const char *file, int line,
                   const char *function)
{
    if (kmse_is_ok(st) || core->new_error == NULL || core->vset_error == NULL)
        return;
    core->new_error(core->handle);
    if (core->set_error_debug != NULL)
        core->set_error_debug(core->handle, base_name(file), line, function);
    if (why != NULL && why->text[0] != '\0')
        set_error(core, st.reason, "%s", why->text);
    else
        set_error(core, st.reason, NULL);
}
