/* replay.c - runs a fuzz target once on each file of the folders named, without libFuzzer, so that
 * a build with any compiler can measure what a corpus reaches. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { INPUT_BYTES = 1 << 20 };

static int run_file(const char *folder, const char *name)
{
    static uint8_t data[INPUT_BYTES];
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    size_t bytes = fread(data, 1, sizeof data, file);
    int failed = ferror(file); /* a folder in the folder */
    (void)fclose(file);
    if (failed)
        return 0;
    (void)LLVMFuzzerTestOneInput(data, bytes);
    return 1;
}

int main(int count, char **folders)
{
    int files = 0;
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(folders[i]);
        if (folder == NULL) {
            perror(folders[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
            files += run_file(folders[i], entry->d_name);
        (void)closedir(folder);
    }
    printf("%d files\n", files);
    return files == 0;
}
