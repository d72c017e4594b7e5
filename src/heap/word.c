/* word.c - changing state words, and the side table of saturated counts; see word.h.
 *
 * The side table. A count that would pass 1022 becomes "saturated" and its number moves into a
 * table, keyed by the word's address; when it falls to 1022 again it moves back. Every change of a
 * saturated word, and both moves, happen under one lock, so the table and the words agree whenever
 * the lock is free. Counts beyond a thousand are rare: the table is a small open-addressed one that
 * doubles. Its memory comes from the kernel directly and old tables are given back. */
#include "heap/word.h"

#include "base/check.h"
#include "sys/records.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stddef.h>

struct count_entry {
    uint32_t *word; /* NULL: empty */
    int count;
};

static struct {
    pthread_mutex_t lock;
    struct count_entry *entries;
    size_t capacity, used;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t slot_of(const uint32_t *word, size_t capacity)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)word >> 2) * 0x9E3779B97F4A7C15u; /* Fibonacci hashing */
    return (size_t)(mixed >> 20) & (capacity - 1);
}

static struct count_entry *table_find(uint32_t *word)
{
    if (table.capacity == 0)
        return NULL;
    for (size_t i = slot_of(word, table.capacity);; i = (i + 1) & (table.capacity - 1)) {
        if (table.entries[i].word == word)
            return &table.entries[i];
        if (table.entries[i].word == NULL)
            return NULL;
    }
}

static void table_put(struct count_entry *entries, size_t capacity, struct count_entry entry)
{
    size_t i = slot_of(entry.word, capacity);
    while (entries[i].word != NULL)
        i = (i + 1) & (capacity - 1);
    entries[i] = entry;
}

/* Room for one more, at most half full. Returns 0 or -ENOMEM. */
static int table_reserve(void)
{
    if ((table.used + 1) * 2 <= table.capacity)
        return 0;
    size_t capacity = table.capacity == 0 ? 256 : table.capacity * 2;
    struct count_entry *entries = roma__record_new(capacity * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < table.capacity; i++)
        if (table.entries[i].word != NULL)
            table_put(entries, capacity, table.entries[i]);
    if (table.capacity > 0)
        roma__record_free(table.entries, table.capacity * sizeof *entries);
    table.entries = entries;
    table.capacity = capacity;
    return 0;
}

/* Remove and close the gap: entries behind it that would no longer be found move up. */
static void table_remove(struct count_entry *gone)
{
    size_t mask = table.capacity - 1;
    size_t hole = (size_t)(gone - table.entries);
    for (size_t i = (hole + 1) & mask; table.entries[i].word != NULL; i = (i + 1) & mask) {
        size_t home = slot_of(table.entries[i].word, table.capacity);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table.entries[hole] = table.entries[i];
            hole = i;
        }
    }
    table.entries[hole].word = NULL;
    table.used--;
    if (table.used == 0) { /* keep nothing for a rare thing that is over */
        roma__record_free(table.entries, table.capacity * sizeof *table.entries);
        table.entries = NULL;
        table.capacity = 0;
    }
}

/* The word was seen saturated, or about to become so: settle it under the lock. */
static int retain_saturated(uint32_t *word, uint32_t generation)
{
    uint32_t seen = roma__load_acquire(word);
    while (roma__word_is(seen, generation)) {
        uint32_t count = roma__word_count(seen);
        if (count == ROMA__WORD_SATURATED) {
            struct count_entry *entry = table_find(word);
            roma_check(entry != NULL);
            return entry->count == INT_MAX ? -EOVERFLOW : ++entry->count;
        }
        if (count + 1 == ROMA__WORD_SATURATED && table_reserve() < 0)
            return -ENOMEM;
        if (!roma__compare_exchange(word, &seen, seen + 1))
            continue;
        if (count + 1 == ROMA__WORD_SATURATED) {
            struct count_entry entry = {word, (int)count + 1};
            table_put(table.entries, table.capacity, entry);
            table.used++;
        }
        return (int)count + 1;
    }
    return -ESTALE;
}

static int drop_saturated(uint32_t *word, uint32_t generation)
{
    uint32_t seen = roma__load_acquire(word);
    if (!roma__word_is(seen, generation))
        return -ESTALE;
    if (roma__word_count(seen) != ROMA__WORD_SATURATED)
        return -EAGAIN; /* it left saturation meanwhile: drop it as any other */
    struct count_entry *entry = table_find(word);
    roma_check(entry != NULL);
    int left = --entry->count;
    if (left < ROMA__WORD_SATURATED) {
        table_remove(entry);
        roma__store_release(word, roma__word_make(roma__word_generation(seen), (uint32_t)left));
    }
    return left;
}

int roma__word_references(uint32_t *word)
{
    int count = (int)roma__word_count(roma__load_acquire(word));
    if (count == ROMA__WORD_SATURATED) {
        pthread_mutex_lock(&table.lock);
        struct count_entry *entry = table_find(word);
        count = entry != NULL ? entry->count : (int)roma__word_count(roma__load_acquire(word));
        pthread_mutex_unlock(&table.lock);
    }
    return count;
}

int roma__word_retain(uint32_t *word, uint32_t generation)
{
    uint32_t seen = roma__load_acquire(word);
    while (roma__word_is(seen, generation)) {
        uint32_t count = roma__word_count(seen);
        if (count + 1 >= ROMA__WORD_SATURATED) {
            pthread_mutex_lock(&table.lock);
            int result = retain_saturated(word, generation);
            pthread_mutex_unlock(&table.lock);
            return result;
        }
        if (roma__compare_exchange(word, &seen, seen + 1))
            return (int)count + 1;
    }
    return -ESTALE;
}

int roma__word_drop(uint32_t *word, uint32_t generation)
{
    uint32_t seen = roma__load_acquire(word);
    while (roma__word_is(seen, generation)) {
        uint32_t count = roma__word_count(seen);
        if (count == ROMA__WORD_SATURATED) {
            pthread_mutex_lock(&table.lock);
            int result = drop_saturated(word, generation);
            pthread_mutex_unlock(&table.lock);
            if (result != -EAGAIN)
                return result;
            seen = roma__load_acquire(word);
            continue;
        }
        uint32_t next = count > 1 ? seen - 1 : roma__word_make(roma__word_generation(seen) + 1, 0);
        if (roma__compare_exchange(word, &seen, next))
            return (int)count - 1;
    }
    return -ESTALE;
}

int roma__word_drop_shared(uint32_t *word, uint32_t generation)
{
    uint32_t seen = roma__load_acquire(word);
    while (roma__word_is(seen, generation)) {
        uint32_t count = roma__word_count(seen);
        if (count == 1)
            return -EBUSY;
        if (count == ROMA__WORD_SATURATED) {
            pthread_mutex_lock(&table.lock);
            int result = drop_saturated(word, generation);
            pthread_mutex_unlock(&table.lock);
            if (result != -EAGAIN)
                return result;
            seen = roma__load_acquire(word);
        } else if (roma__compare_exchange(word, &seen, seen - 1)) {
            return (int)count - 1;
        }
    }
    return -ESTALE;
}

int roma__word_end_sole(uint32_t *word, uint32_t *had)
{
    uint32_t seen = roma__load_acquire(word);
    if (roma__word_count(seen) != 1 ||
        !roma__compare_exchange(word, &seen, roma__word_make(roma__word_generation(seen) + 1, 0)))
        return -EBUSY;
    *had = seen;
    return 0;
}

void roma__word_next_generation(uint32_t *word)
{
    uint32_t seen = roma__load_acquire(word);
    while (!roma__compare_exchange(
        word, &seen, roma__word_make(roma__word_generation(seen) + 1, roma__word_count(seen)))) {
    }
}

bool roma__word_kill(uint32_t *word)
{
    uint32_t seen = roma__load_acquire(word);
    if (roma__word_count(seen) == 0)
        return false;
    if (roma__word_count(seen) == ROMA__WORD_SATURATED) {
        pthread_mutex_lock(&table.lock);
        struct count_entry *entry = table_find(word);
        if (entry != NULL)
            table_remove(entry);
        pthread_mutex_unlock(&table.lock);
    }
    roma__store_release(word, roma__word_make(roma__word_generation(seen) + 1, 0));
    return true;
}

void roma__counts_fork_hold(void)
{
    pthread_mutex_lock(&table.lock);
}

void roma__counts_fork_free(void)
{
    pthread_mutex_unlock(&table.lock);
}
