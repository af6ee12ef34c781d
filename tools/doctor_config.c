/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: OpenSSL's configuration file. */
#include "tools/doctor.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/setting.h"
#include "kms_envelope/params.h"

/* What anybody may read on its way is no longer only ours. */
static void check_http(const struct kmse_cnf_provider *provider)
{
    const char *allowed = kmse_cnf_value(provider, KMSE_CONF_AWS_ALLOW_HTTP);
    if (allowed != NULL && strcmp(allowed, "yes") == 0)
        kmse_doctor_note("[%s]: %s = yes: data keys may go through a network"
                         " in the clear",
                         provider->section, KMSE_CONF_AWS_ALLOW_HTTP);
}

/* To OpenSSL it is the section of the keys at the top: it recurs, and fails. */
static void check_value(struct kmse_doctor *doctor,
                        const struct kmse_cnf_provider *provider,
                        const struct kmse_cnf_pair *pair)
{
    if (strcmp(pair->value, "default") != 0)
        return;
    kmse_doctor_find(doctor,
                     "[%s]: %s = default: OpenSSL takes 'default' for a section"
                     " of the file, and does not load the provider",
                     provider->section, pair->name);
    kmse_doctor_mend("leave it out, or give it another name");
}

static void check_keys(struct kmse_doctor *doctor,
                       const struct kmse_cnf_provider *provider)
{
    for (size_t i = 0; i < provider->pair_count; i++) {
        check_value(doctor, provider, &provider->pairs[i]);
        if (kmse_setting_is_known(provider->pairs[i].name))
            continue;
        kmse_doctor_find(doctor, "[%s]: unknown key '%s'", provider->section,
                         provider->pairs[i].name);
        kmse_doctor_mend("correct or remove it: openssl.cnf.example has all");
    }
    if (kmse_cnf_value(provider, KMSE_CONF_KEYS) == NULL) {
        kmse_doctor_find(doctor, "[%s]: '%s' is missing", provider->section,
                         KMSE_CONF_KEYS);
        kmse_doctor_mend("add %s = the folder of key files", KMSE_CONF_KEYS);
    }
    if (!provider->activate) {
        kmse_doctor_find(doctor, "[%s]: not activated", provider->section);
        kmse_doctor_mend("add activate = 1");
    }
    check_http(provider);
}

/* Naming any provider there takes away the default that OpenSSL would load. */
static void check_default(struct kmse_doctor *doctor,
                          const struct kmse_cnf *cnf, const char *root)
{
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf); i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        bool serves = strcmp(provider->name, "default") == 0
                      || strcmp(provider->name, "fips") == 0;
        if (strcmp(provider->root, root) == 0 && serves && provider->activate) {
            kmse_doctor_ok("%s: the provider '%s' is active", root,
                           provider->name);
            return;
        }
    }
    kmse_doctor_find(doctor,
                     "%s: no active 'default' provider: every program that"
                     " reads %s is without AES, SHA and TLS",
                     root, kmse_cnf_path(cnf));
    kmse_doctor_mend("in the list of providers: default = default_sect;"
                     " and [default_sect] activate = 1");
}

/* As OpenSSL finds a module: provider(7), OPENSSL_MODULES. */
static char *module_path(const struct kmse_cnf_provider *provider)
{
    const char *folder = secure_getenv("OPENSSL_MODULES");
    if (folder == NULL)
        folder = OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
    char *path = NULL;
    int len = 0;
    if (provider->module == NULL)
        len = asprintf(&path, "%s/%s.so", folder, provider->name);
    else if (provider->module[0] != '/')
        len = asprintf(&path, "%s/%s", folder, provider->module);
    else
        len = asprintf(&path, "%s", provider->module);
    return len >= 0 ? path : NULL;
}

/* OpenSSL says "could not load the shared library" at most: dlopen says why. */
static bool check_module(struct kmse_doctor *doctor, const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        kmse_doctor_find(doctor, "the module does not load: %s", dlerror());
        kmse_doctor_mend("set module = the path of kms-envelope.so, and install"
                         " what it says is missing");
        return false;
    }
    bool is_provider = dlsym(module, "OSSL_provider_init") != NULL;
    dlclose(module);
    if (!is_provider) {
        kmse_doctor_find(doctor, "%s is not an OpenSSL provider", path);
        kmse_doctor_mend("set module = the path of kms-envelope.so");
    }
    return is_provider;
}

static void check_provider(struct kmse_doctor *doctor,
                           const struct kmse_cnf *cnf,
                           const struct kmse_cnf_provider *provider)
{
    kmse_doctor_ok("%s: provider '%s', section [%s]", provider->root,
                   provider->name, provider->section);
    check_keys(doctor, provider);
    check_default(doctor, cnf, provider->root);
    char *path = module_path(provider);
    if (path != NULL && check_module(doctor, path)) {
        kmse_doctor_ok("the module is %s", path);
        if (provider->activate)
            kmse_doctor_check_load(doctor, cnf, provider);
    }
    free(path);
}

void kmse_doctor_check_config(struct kmse_doctor *doctor,
                              const struct kmse_cnf *cnf)
{
    size_t ours = 0;
    kmse_doctor_ok("OpenSSL's configuration file is %s", kmse_cnf_path(cnf));
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf); i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        if (!kmse_cnf_is_ours(provider))
            continue;
        check_provider(doctor, cnf, provider);
        ours++;
    }
    if (ours > 0)
        return;
    kmse_doctor_find(doctor, "%s: the provider '%s' is not in it",
                     kmse_cnf_path(cnf), KMSE_PROVIDER_NAME);
    kmse_doctor_mend("add it as openssl.cnf.example has it, beginning with"
                     " openssl_conf = ...; or set OPENSSL_CONF");
}
