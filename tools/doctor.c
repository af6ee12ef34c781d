/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope doctor: what is wrong, and how to mend it. */
#include "tools/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "kms_envelope/params.h"
#include "tools/verbs.h"

__attribute__((format(printf, 2, 0))) static void
print_line(const char *label, const char *format, va_list args)
{
    printf("%-8s ", label);
    vprintf(format, args);
    putchar('\n');
}

void kmse_doctor_ok(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("ok", format, args);
    va_end(args);
}

void kmse_doctor_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("note", format, args);
    va_end(args);
}

void kmse_doctor_find(struct kmse_doctor *doctor, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("FINDING", format, args);
    va_end(args);
    doctor->findings++;
}

void kmse_doctor_mend(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("  mend:", format, args);
    va_end(args);
}

static const struct {
    int reason;
    const char *mend;
} MENDS[] = {
    {KMSE_R_FILE, "let this user read the file, and its folders"},
    {KMSE_R_FILE_MODE, "chmod 600 the file"},
    {KMSE_R_SECURE_MEMORY, "raise RLIMIT_MEMLOCK (ulimit -l), or free memory"},
    {KMSE_R_KEY_NOT_FOUND, "kms-envelope create it, or name another"},
    {KMSE_R_KEYFILE_SYNTAX, "restore the key file from a backup"},
    {KMSE_R_KEYFILE_FIELD, "restore the key file from a backup, or use the"
                           " release that wrote it"},
    {KMSE_R_KEYFILE_MAC, "restore the key file from a backup; never edit it"},
    {KMSE_R_COMMITMENT, "restore the key file from a backup, then rewrap"},
    {KMSE_R_KMS_DENIED, "let this user use the master key"},
    {KMSE_R_KMS_KEY_NOT_FOUND, "restore the master key from a backup"},
    {KMSE_R_KMS_WRONG_KEY, "put the master key back that made the copy"},
    {KMSE_R_KMS_BLOB, "restore the key file, or the newest copy of the master"
                      " key, from a backup"},
    {KMSE_R_KMS_ANSWER, "restore the master key from a backup"},
    {KMSE_R_KMS_URI, "name the master key as this release knows it"},
    {KMSE_R_CONFIG_VALUE, "correct that setting"},
    {KMSE_R_CONFIG_KEY, "correct or remove it: openssl.cnf.example has all"},
};

void kmse_doctor_find_and_mend(struct kmse_doctor *doctor, const char *subject,
                               kmse_st st, const struct kmse_why *why,
                               const char *mend)
{
    kmse_doctor_find(doctor, "%s: %s%s%s", subject, kmse_reason_text(st.reason),
                     why->text[0] != '\0' ? ": " : "", why->text);
    kmse_doctor_mend("%s", mend);
}

void kmse_doctor_find_failure(struct kmse_doctor *doctor, const char *subject,
                              kmse_st st, const struct kmse_why *why)
{
    const char *mend = "see what it says";
    for (size_t i = 0; i < sizeof(MENDS) / sizeof(MENDS[0]); i++) {
        if (MENDS[i].reason == st.reason)
            mend = MENDS[i].mend;
    }
    kmse_doctor_find_and_mend(doctor, subject, st, why, mend);
}

/* From 3.0 on a library serves programs built with any older minor release. */
static void check_openssl(struct kmse_doctor *doctor)
{
    unsigned long built = OPENSSL_VERSION_NUMBER >> 20;
    unsigned long found = OpenSSL_version_num() >> 20;
    if (found < built || found >> 8 != built >> 8) {
        kmse_doctor_find(doctor, "runs with %s, was built with %s",
                         OpenSSL_version(OPENSSL_VERSION),
                         OPENSSL_VERSION_TEXT);
        kmse_doctor_mend("install that OpenSSL, or build again with this one");
        return;
    }
    kmse_doctor_ok("kms-envelope %s runs with %s, was built with %s",
                   kmse_release, OpenSSL_version(OPENSSL_VERSION),
                   OPENSSL_VERSION_TEXT);
}

/* Nothing that we made is older than this release. */
static void check_clock(struct kmse_doctor *doctor)
{
    static const char EARLIEST[] = "2026-01-01T00:00:00Z";
    int64_t earliest_s = 0;
    int64_t now_s = kmse_clock_system.wall_s(kmse_clock_system.arg);
    char now[KMSE_TIME_LEN];
    kmse_time_print(now, now_s);
    if (kmse_is_ok(kmse_time_parse(&earliest_s, EARLIEST))
        && now_s < earliest_s) {
        kmse_doctor_find(doctor, "the clock says %s", now);
        kmse_doctor_mend("set it (NTP): active-from depends on it");
        return;
    }
    kmse_doctor_ok("the clock says %s", now);
}

/* Where an agent stands before the KMS, this user may not be let to the KMS. */
static void check_section(struct kmse_doctor *doctor,
                          const struct kmse_cnf_provider *provider,
                          const char *folder)
{
    const char *agent = kmse_cnf_value(provider, KMSE_CONF_AGENT);
    const char *fallback = kmse_cnf_value(provider, KMSE_CONF_AGENT_FALLBACK);
    if (agent != NULL)
        kmse_doctor_check_agent(doctor, folder, agent);
    if (agent == NULL || (fallback != NULL && strcmp(fallback, "yes") == 0))
        kmse_doctor_check_folder(
            doctor, folder, kmse_cnf_value(provider, KMSE_CONF_DEFAULT_KEY));
}

/* Each section of ours, but a folder that two of them name only once. */
static void check_configured_folders(struct kmse_doctor *doctor,
                                     const struct kmse_cnf *cnf)
{
    const char *last = "";
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf); i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        const char *folder = kmse_cnf_value(provider, KMSE_CONF_KEYS);
        if (!kmse_cnf_is_ours(provider) || folder == NULL
            || strcmp(folder, last) == 0)
            continue;
        check_section(doctor, provider, folder);
        last = folder;
    }
}

static int run(const struct kmse_options *options)
{
    struct kmse_doctor doctor = {0};
    struct kmse_cnf *cnf = NULL;
    struct kmse_why why = {""};
    check_openssl(&doctor);
    check_clock(&doctor);
    kmse_usage_open(&doctor.usage, NULL);

    kmse_st st = kmse_cnf_open(&cnf, NULL, &why);
    if (!kmse_is_ok(st))
        kmse_doctor_find_failure(&doctor, "OpenSSL's configuration", st, &why);
    else
        kmse_doctor_check_config(&doctor, cnf);
    if (options->keys != NULL)
        kmse_doctor_check_folder(&doctor, options->keys, NULL);
    else if (cnf != NULL)
        check_configured_folders(&doctor, cnf);
    kmse_cnf_close(cnf);
    kmse_doctor_wipe(&doctor);

    printf("%u %s\n", doctor.findings,
           doctor.findings == 1 ? "finding" : "findings");
    return doctor.findings == 0 ? KMSE_EXIT_DONE : KMSE_EXIT_FAILED;
}

const struct kmse_verb kmse_verb_doctor = {
    .name = "doctor",
    .operands = "",
    .summary = "check configuration, module, keys and clock; say how to mend",
    .details = "Of the openssl.cnf in force (OPENSSL_CONF) and the folder that"
               " it names, or DIR.\nEvery wrapped copy is opened by its KMS."
               " Exit code 1 if there is a finding.",
    .takes = KMSE_OPTION_KEYS,
    .run = run,
};
