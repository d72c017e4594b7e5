/* machine.c - what the machine has: CPUs to run on, and memory. */
#include "perf/support/measure.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void machine_read(void)
{
    cpu_set_t set;
    settings.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return; /* more CPUs than a set has: threads run where the kernel wants */
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && settings.cpus_count < CPUS_MAX; cpu++)
        if (CPU_ISSET(cpu, &set))
            settings.cpus[settings.cpus_count++] = cpu;
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

static void run_on(const unsigned *cpus, unsigned count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < count; i++)
        CPU_SET(cpus[i], &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* refused: the figures are noisier, no worse */
}

void pin(unsigned index)
{
    if (settings.cpus_count > 1)
        run_on(&settings.cpus[index % settings.cpus_count], 1);
}

void unpin(void)
{
    if (settings.cpus_count > 1)
        run_on(settings.cpus, settings.cpus_count);
}

/* ---- memory --------------------------------------------------------------------------------- */

void *bench_map(size_t bytes)
{
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED)
        die("memory for the harness", errno);
    return address;
}

void bench_unmap(void *address, size_t bytes)
{
    (void)munmap(address, bytes);
}

uint64_t available_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kib = 0;
    char line[128];
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "MemAvailable: %llu kB", &kib);
    if (file != NULL)
        (void)fclose(file);
    return kib * 1024;
}
