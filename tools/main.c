/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope: a table of verbs. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "tools/common.h"

static const struct kmse_verb *const VERBS[] = {
    &kmse_verb_create,        &kmse_verb_rotate, &kmse_verb_rewrap,
    &kmse_verb_policy,        &kmse_verb_revoke, &kmse_verb_census,
    &kmse_verb_retire,        &kmse_verb_undo,   &kmse_verb_destroy,
    &kmse_verb_rotate_master, &kmse_verb_status, &kmse_verb_inspect,
    &kmse_verb_index,         &kmse_verb_handle, &kmse_verb_check,
    &kmse_verb_doctor,
#ifdef KMSE_HAS_AGENT
    &kmse_verb_agent,
#endif
};
enum { VERB_COUNT = sizeof(VERBS) / sizeof(VERBS[0]) };

static void print_help(void)
{
    puts("usage: kms-envelope VERB ...\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        printf("  %-14s %s\n", VERBS[i]->name, VERBS[i]->summary);
    puts("  help [VERB]    this, or the options of a verb\n"
         "  --version      this program's version, and OpenSSL's\n"
         "\n"
         "A master key is named by a URI: local:FILE, or aws-kms:KEY with an "
         "ARN,\n"
         "an alias (alias/NAME) or a key id.\n"
         "Results go to stdout, errors and hints to stderr.\n"
         "Exit codes: 0 done; 1 failed, or doctor has findings; 2 usage.");
}

static void print_version(void)
{
    printf("kms-envelope %s (%s)\n", kmse_release,
           OpenSSL_version(OPENSSL_VERSION));
}

static int bad_usage(const char *verb, const char *problem)
{
    fprintf(stderr, "kms-envelope: usage: %s\n", problem);
    kmse_tool_hint("see: kms-envelope help%s%s", verb[0] != '\0' ? " " : "",
                   verb);
    return KMSE_EXIT_USAGE;
}

static const struct kmse_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(VERBS[i]->name, name) == 0)
            return VERBS[i];
    }
    return NULL;
}

static int unknown_verb(const char *name)
{
    struct kmse_why why;
    snprintf(why.text, sizeof(why.text), "no such verb: %s", name);
    return bad_usage("", why.text);
}

static int run_help(const char *name)
{
    const struct kmse_verb *verb = name != NULL ? find_verb(name) : NULL;
    if (name != NULL && verb == NULL)
        return unknown_verb(name);
    if (verb != NULL)
        kmse_options_help(verb);
    else
        print_help();
    return KMSE_EXIT_DONE;
}

static int run_verb(const struct kmse_verb *verb, int argc, char **argv)
{
    struct kmse_options options;
    struct kmse_why why = {""};
    int exit_code = KMSE_EXIT_DONE;
    kmse_st st = kmse_options_parse(&options, verb, argc, argv, &why);
    if (!kmse_is_ok(st))
        exit_code = bad_usage(verb->name, why.text);
    else if (options.help)
        kmse_options_help(verb);
    else
        exit_code = verb->run(&options);
    kmse_options_wipe(&options);
    return exit_code;
}

/* A result that could not be written must not look like success. */
static int flush(int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    fputs("kms-envelope: stdout cannot be written\n", stderr);
    return exit_code == KMSE_EXIT_DONE ? KMSE_EXIT_FAILED : exit_code;
}

int main(int argc, char **argv)
{
    /* openssl.cnf may name our own module, or be what doctor has to mend. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    if (argc < 2)
        return bad_usage("", "a verb is missing");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || strcmp(argv[1], "help") == 0)
        return flush(run_help(argc > 2 ? argv[2] : NULL));
    if (strcmp(argv[1], "--version") == 0) {
        print_version();
        return flush(KMSE_EXIT_DONE);
    }
    const struct kmse_verb *verb = find_verb(argv[1]);
    if (verb == NULL)
        return unknown_verb(argv[1]);
    return flush(run_verb(verb, argc - 1, argv + 1));
}
