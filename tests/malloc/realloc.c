/* realloc.c - blocks that grow and shrink keep their contents, whatever way they go: within the
 * cell, in place, by their page tables, by copying. */
#include "expect.h"

#include <malloc.h>
#include <stdint.h>

/* A byte for each place, different for each block. */
static unsigned char mark(size_t at, unsigned seed)
{
    return (unsigned char)(at * 31 + at / 251 + seed);
}

enum { STEP = 509 }; /* of places written and looked at in long blocks: no power of two */

static size_t step_of(size_t bytes)
{
    return bytes <= 65536 ? 1 : STEP;
}

static void fill(unsigned char *block, size_t from, size_t to, unsigned seed)
{
    size_t step = step_of(to);
    for (size_t at = from; at < to; at += 1)
        if (step == 1 || at % STEP == 0 || at == to - 1)
            block[at] = mark(at, seed);
}

static int is_whole(const unsigned char *block, size_t bytes, unsigned seed)
{
    for (size_t at = 0; at < bytes; at += STEP)
        if (block[at] != mark(at, seed))
            return 0;
    return 1;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* 1 B to 64 MiB by an eighth and back. */
static void up_and_down(void)
{
    size_t bytes = 1;
    unsigned char *block = malloc(bytes);
    fill(block, 0, bytes, 1);
    for (; bytes < (size_t)64 << 20; bytes += bytes / 8 + 1) {
        size_t next = bytes + bytes / 8 + 1;
        block = realloc(block, next);
        EXPECT(block != NULL && is_whole(block, bytes, 1));
        fill(block, 0, next, 1);
    }
    while (bytes > 1) {
        size_t next = bytes - bytes / 8 - 1;
        next = next == 0 ? 1 : next;
        block = realloc(block, next);
        EXPECT(block != NULL && is_whole(block, next, 1));
        bytes = next;
    }
    free(block);
}

/* By 1 MiB to 256 MiB: the pattern of growing buffers. The way up must not copy each time. */
static void by_steps(void)
{
    enum { MIB = 1 << 20, STEPS = 256 };
    unsigned char *block = NULL;
    for (size_t i = 1; i <= STEPS; i++) {
        block = realloc(block, i * MIB);
        EXPECT(block != NULL);
        block[(i - 1) * MIB] = (unsigned char)i;
    }
    int whole = 1;
    for (size_t i = 1; i <= STEPS; i++)
        whole = whole && block[(i - 1) * MIB] == (unsigned char)i;
    EXPECT(whole);
    free(block);
}

/* Many blocks of random lengths, resized in random order. */
static void random_lengths(void)
{
    enum { COUNT = 500, ROUNDS = 20000 };
    static unsigned char *blocks[COUNT];
    static size_t lengths[COUNT];
    uint64_t random = 88172645463325252u;
    for (unsigned round = 0; round < ROUNDS; round++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned i = (unsigned)(random % COUNT);
        size_t bytes = 1 + (size_t)(random >> 20) % ((size_t)1 << (4 + random % 16));
        unsigned char *block = realloc(blocks[i], bytes);
        EXPECT(block != NULL);
        if (blocks[i] != NULL)
            EXPECT(is_whole(block, smaller(bytes, lengths[i]), i));
        for (size_t at = 0; at < bytes; at++)
            block[at] = mark(at, i);
        blocks[i] = block;
        lengths[i] = bytes;
    }
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* A shorter block gives back what it does not need. */
static void shrinking_gives_back(void)
{
    unsigned char *block = malloc((size_t)32 << 20);
    block[50] = 9;
    block = realloc(block, 100);
    EXPECT(block != NULL && block[50] == 9);
    EXPECT(malloc_usable_size(block) < 65536);
    free(block);
    block = malloc(4000);
    block = realloc(block, 100);
    EXPECT(malloc_usable_size(block) < 2000);
    free(block);
}

int main(void)
{
    expect_ours("realloc");
    up_and_down();
    by_steps();
    random_lengths();
    shrinking_gives_back();
    return finish("realloc");
}
