/* returns.c - free memory goes back to the kernel after its delay.
 *
 *   returns call|background DELAY_MS
 *
 * call: by the first slow call after the delay. background: with no call at all, within twice the
 * delay, which is not so for delays of less than .2 s. The harness sets ROMA_RETURN_DELAY, and
 * ROMA_BACKGROUND. What is looked at is the kernel's account of the process, not the library's
 * own. */
#include "expect.h"

#include <time.h>
#include <unistd.h>

enum { SMALL_COUNT = 200000, SMALL_BYTES = 400, LARGE_COUNT = 20, LARGE_BYTES = 5 << 20 };

static long resident_bytes(void)
{
    long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2)
        abort();
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

static void sleep_ms(long ms)
{
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&rest, NULL);
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    int in_background = strcmp(arguments[1], "background") == 0;
    long delay_ms = strtol(arguments[2], NULL, 10);
    static char *small[SMALL_COUNT], *large[LARGE_COUNT];
    long before = resident_bytes();
    for (int i = 0; i < SMALL_COUNT; i++)
        memset(small[i] = malloc(SMALL_BYTES), 1, SMALL_BYTES);
    for (int i = 0; i < LARGE_COUNT; i++)
        memset(large[i] = malloc(LARGE_BYTES), 1, LARGE_BYTES);
    long peak = resident_bytes() - before;
    for (int i = 0; i < SMALL_COUNT; i++)
        free(small[i]);
    for (int i = 0; i < LARGE_COUNT; i++)
        free(large[i]);
    if (in_background) {
        sleep_ms(2 * delay_ms);
    } else {
        sleep_ms(delay_ms + 50);
        free(malloc(300 << 10)); /* no class's: always the slow way */
    }
    long left = resident_bytes() - before;
    EXPECT(peak > 150l << 20);
    EXPECT(left < peak / 20);
    if (left >= peak / 20)
        fprintf(stderr, "%ld of %ld bytes are still here\n", left, peak);
    return finish("returns");
}
