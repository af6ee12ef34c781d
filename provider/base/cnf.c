/* SPDX-License-Identifier: Apache-2.0 */
/* The providers that an OpenSSL configuration file names. */
#include "base/cnf.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

struct kmse_cnf {
    char *path; /* OPENSSL_free */
    CONF *conf;
    struct kmse_cnf_provider *providers;
    size_t provider_count;
};

/* NCONF_get_string would fall back to the default section: this does not. */
static const char *lookup(const STACK_OF(CONF_VALUE) * section,
                          const char *name)
{
    for (int i = 0; i < sk_CONF_VALUE_num(section); i++) {
        const CONF_VALUE *pair = sk_CONF_VALUE_value(section, i);
        if (strcmp(pair->name, name) == 0)
            return pair->value;
    }
    return NULL;
}

/* "1.activate" is "activate", as OpenSSL reads provider sections. */
static const char *skip_dot(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot != NULL ? dot + 1 : name;
}

static kmse_st read_pairs(struct kmse_cnf_provider *provider,
                          const STACK_OF(CONF_VALUE) * section)
{
    int count = sk_CONF_VALUE_num(section);
    if (count <= 0)
        return KMSE_OK;
    struct kmse_cnf_pair *pairs = calloc((size_t)count, sizeof(*pairs));
    if (pairs == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    for (int i = 0; i < count; i++) {
        const CONF_VALUE *value = sk_CONF_VALUE_value(section, i);
        const char *name = skip_dot(value->name);
        pairs[i] = (struct kmse_cnf_pair){value->name, value->value};
        if (strcmp(name, "identity") == 0)
            provider->name = value->value;
        else if (strcmp(name, "module") == 0)
            provider->module = value->value;
        else if (strcmp(name, "activate") == 0)
            provider->activate = strcmp(value->value, "0") != 0
                                 && strcmp(value->value, "no") != 0;
    }
    provider->pairs = pairs;
    provider->pair_count = (size_t)count;
    return KMSE_OK;
}

static kmse_st add_provider(struct kmse_cnf *cnf, const char *root,
                            const CONF_VALUE *entry)
{
    struct kmse_cnf_provider *grown =
        realloc(cnf->providers, (cnf->provider_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    cnf->providers = grown;
    struct kmse_cnf_provider *provider = &grown[cnf->provider_count++];
    *provider = (struct kmse_cnf_provider){
        .root = root, .name = skip_dot(entry->name), .section = entry->value};
    return read_pairs(provider, NCONF_get_section(cnf->conf, entry->value));
}

/* root = a section with "providers = another", which lists name = section. */
static kmse_st read_root(struct kmse_cnf *cnf, const CONF_VALUE *root)
{
    const char *list_name =
        lookup(NCONF_get_section(cnf->conf, root->value), "providers");
    if (list_name == NULL)
        return KMSE_OK;
    const STACK_OF(CONF_VALUE) *list = NCONF_get_section(cnf->conf, list_name);
    for (int i = 0; i < sk_CONF_VALUE_num(list); i++)
        KMSE_TRY(add_provider(cnf, root->name, sk_CONF_VALUE_value(list, i)));
    return KMSE_OK;
}

static kmse_st load(struct kmse_cnf *cnf, struct kmse_why *why)
{
    long line = 0;
    cnf->conf = NCONF_new(NULL);
    if (cnf->path == NULL || cnf->conf == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (NCONF_load(cnf->conf, cnf->path, &line) != 1)
        return kmse_fail(why, KMSE_R_FILE,
                         line > 0 ? "%s, line %ld: not valid"
                                  : "%s: cannot be read",
                         cnf->path, line);
    const STACK_OF(CONF_VALUE) *top = NCONF_get_section(cnf->conf, "default");
    for (int i = 0; i < sk_CONF_VALUE_num(top); i++)
        KMSE_TRY(read_root(cnf, sk_CONF_VALUE_value(top, i)));
    return KMSE_OK;
}

kmse_st kmse_cnf_open(struct kmse_cnf **cnf, const char *path,
                      struct kmse_why *why)
{
    struct kmse_cnf *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->path =
        path != NULL ? OPENSSL_strdup(path) : CONF_get1_default_config_file();
    ERR_set_mark();
    kmse_st st = load(made, why);
    ERR_pop_to_mark();
    if (!kmse_is_ok(st)) {
        kmse_cnf_close(made);
        return st;
    }
    *cnf = made;
    return KMSE_OK;
}

static void free_pairs(const struct kmse_cnf_pair *pairs)
{
    union {
        const struct kmse_cnf_pair *read_only;
        void *owned;
    } pointer = {.read_only = pairs};
    free(pointer.owned);
}

void kmse_cnf_close(struct kmse_cnf *cnf)
{
    if (cnf == NULL)
        return;
    for (size_t i = 0; i < cnf->provider_count; i++)
        free_pairs(cnf->providers[i].pairs);
    free(cnf->providers);
    NCONF_free(cnf->conf);
    OPENSSL_free(cnf->path);
    free(cnf);
}

const char *kmse_cnf_path(const struct kmse_cnf *cnf)
{
    return cnf->path;
}

size_t kmse_cnf_provider_count(const struct kmse_cnf *cnf)
{
    return cnf->provider_count;
}

const struct kmse_cnf_provider *kmse_cnf_provider(const struct kmse_cnf *cnf,
                                                  size_t index)
{
    return &cnf->providers[index];
}
