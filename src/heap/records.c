/* records.c - spare records, by size; see records.h.
 *
 * Sizes are powers of two of 64-bit words of bits, so that a record fits whatever asks for its list
 * and a search is not needed. A word has the bits of two spans. */
#include "heap/records.h"

#include "base/bits.h"
#include "heap/metadata.h"

#include <pthread.h>

enum { WORD_GRANULES = 64, WORD_SPANS = 2 };
enum { SIZES_COUNT = 28 }; /* the last is for 2^26 words: as many granules as 32 bits can count */

static struct {
    pthread_mutex_t lock;
    struct roma__extent_record *spare[SIZES_COUNT];
} records = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned size_index_of(uint32_t granules)
{
    if (granules == 0)
        return 0;
    size_t words = ((size_t)granules + WORD_GRANULES - 1) / WORD_GRANULES;
    return words == 1 ? 1 : roma__log2_floor(words - 1) + 2;
}

static size_t words_of(unsigned size_index)
{
    return size_index == 0 ? 0 : (size_t)1 << (size_index - 1);
}

static size_t bytes_of(unsigned size_index)
{
    size_t word_bytes = sizeof(uint64_t) + WORD_SPANS * sizeof(struct roma__span);
    return sizeof(struct roma__extent_record) + words_of(size_index) * word_bytes;
}

static struct roma__extent_record *take_spare(unsigned size_index)
{
    pthread_mutex_lock(&records.lock);
    struct roma__extent_record *record = records.spare[size_index];
    if (record != NULL)
        records.spare[size_index] = record->next;
    pthread_mutex_unlock(&records.lock);
    return record;
}

struct roma__extent_record *roma__extent_record_new(uint32_t granules)
{
    unsigned size_index = size_index_of(granules);
    struct roma__extent_record *record = take_spare(size_index);
    if (record == NULL) {
        record = roma__metadata_take(bytes_of(size_index));
        if (record == NULL)
            return NULL;
        record->size_index = size_index;
        record->spans = (struct roma__span *)(void *)(record + 1);
        record->bits = (uint64_t *)(void *)(record->spans + words_of(size_index) * WORD_SPANS);
    }
    record->next = record->previous = record->next_empty = record->previous_empty = NULL;
    record->marked = record->is_cached = record->keeps_pages = record->is_queued = false;
    record->is_migrated = false;
    record->slab = NULL;
    return record;
}

void roma__extent_record_free(struct roma__extent_record *record)
{
    pthread_mutex_lock(&records.lock);
    record->next = records.spare[record->size_index];
    records.spare[record->size_index] = record;
    pthread_mutex_unlock(&records.lock);
}

size_t roma__extent_record_bytes(const struct roma__extent_record *record)
{
    return bytes_of(record->size_index);
}

void roma__extent_records_fork_hold(void)
{
    pthread_mutex_lock(&records.lock);
}

void roma__extent_records_fork_free(void)
{
    pthread_mutex_unlock(&records.lock);
}
