/* opening.c - how long opening takes, by the length of the file and by what is in it.
 *
 * The store was closed cleanly by its only session, and is opened by one again; closing is not in
 * the figure. A length is that of the file, which is sparse: room for as much is reserved, and the
 * end of the file is moved there. Blocks are of 16 bytes, each named by a slot of one large block,
 * so that they stay when nobody has the store open. */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void measure_open(const char *name)
{
    double values[VALUES_MAX];
    subject_open(store_path()); /* its pages come into memory, for all repeats alike */
    subject_close();
    for (unsigned i = 0; i < settings.repeats; i++) {
        double start = now_ns();
        subject_open(store_path());
        values[i] = (now_ns() - start) / 1e3;
        subject_close();
    }
    report(name, values, settings.repeats, "us", 1);
}

void run_open_size(const struct test *test)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } SIZES[] = {{"open-1m", UINT64_C(1) << 20},
                 {"open-1g", UINT64_C(1) << 30},
                 {"open-64g", UINT64_C(1) << 36},
                 {"open-1t", UINT64_C(1) << 40}};
    uint64_t bytes = 0;
    for (unsigned i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++)
        if (strcmp(SIZES[i].name, test->name) == 0)
            bytes = SIZES[i].bytes;
    subject_create(store_path(), bytes);
    subject_close();
    if (bytes > (UINT64_C(1) << 20) && truncate(store_path(), (off_t)bytes) != 0) {
        skip(test->name, "this file system has no files so long");
        store_unlink();
        return;
    }
    measure_open(test->name);
    store_unlink();
}

static void fill(uint64_t count)
{
    roma_store_request request = roma_store_request_of(count * sizeof(roma_ref));
    request.refs_count = (uint32_t)count;
    roma_ref *slots = roma_store_alloc_into(subject_store, roma_store_root(subject_store, 0),
                                            &request);
    if (slots == NULL)
        die("the block of slots", errno);
    roma_store_request small = roma_store_request_of(16);
    for (uint64_t i = 0; i < count; i++)
        if (roma_store_alloc_into(subject_store, &slots[i], &small) == NULL)
            die("roma_store_alloc_into", errno);
}

void run_open_live(const struct test *test)
{
    static const uint64_t COUNTS[] = {0, 10000, 1000000, 10000000};
    for (unsigned i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s-%llu", test->name, (unsigned long long)COUNTS[i]);
        if (COUNTS[i] > settings.live_max) {
            skip(name, "more live blocks than --live");
            continue;
        }
        subject_create(store_path(), UINT64_C(1) << 32);
        if (COUNTS[i] > 0)
            fill(COUNTS[i]);
        subject_close();
        measure_open(name);
        store_unlink();
    }
}
