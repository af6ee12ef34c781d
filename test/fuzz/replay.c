/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzz target over files, without a fuzzer: replay FOLDER... */
#include "fuzz.h"

#include <dirent.h>
#include <stdbool.h>

static bool is_visible(const char *name)
{
    return name[0] != '.';
}

/* The bytes in a block of just their size. */
static uint8_t *read_all(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size > 0 ? *size : 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return bytes;
}

/* Its name first: if the target ends the process, it is the last line. */
static void replay_file(const char *folder, const char *name)
{
    char path[4096];
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    printf("%s\n", path);
    fflush(stdout);
    uint8_t *bytes = read_all(path, &size);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
}

/* How many files there were. */
static size_t replay_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    size_t replayed = 0;
    if (count < 0)
        perror(folder);
    for (int i = 0; i < count; i++) {
        if (is_visible(entries[i]->d_name)) {
            replay_file(folder, entries[i]->d_name);
            replayed++;
        }
        free(entries[i]);
    }
    free(entries);
    return replayed;
}

int main(int argc, char **argv)
{
    size_t replayed = 0;
    for (int i = 1; i < argc; i++) {
        size_t in_folder = replay_folder(argv[i]);
        if (in_folder == 0) {
            fprintf(stderr, "%s: no files\n", argv[i]);
            return EXIT_FAILURE;
        }
        replayed += in_folder;
    }
    printf("%zu files replayed\n", replayed);
    return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
