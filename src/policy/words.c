/* words.c - see words.h. */
#include "policy/words.h"

#include <string.h>

static const char *const placements[] = {
    [ROMA_ANYWHERE] = "anywhere",
    [ROMA_LOCAL] = "local",
    [ROMA_NODES] = "nodes",
    [ROMA_PREFERRED] = "preferred",
    [ROMA_PREFERRED_MANY] = "preferred-many",
    [ROMA_INTERLEAVE] = "interleave",
    [ROMA_WEIGHTED] = "weighted",
    [ROMA_NEAREST] = "nearest",
    [ROMA_BANDWIDTH] = "bandwidth",
    [ROMA_LATENCY] = "latency",
    [ROMA_CAPACITY] = "capacity",
};

static const char *const lifetimes[] = {
    [ROMA_LIFETIME_UNKNOWN] = NULL,
    [ROMA_LIFETIME_SHORT] = "short",
    [ROMA_LIFETIME_LONG] = "long",
};

static const char *const accesses[] = {
    [ROMA_ACCESS_UNKNOWN] = NULL,
    [ROMA_ACCESS_SEQUENTIAL] = "sequential",
    [ROMA_ACCESS_RANDOM] = "random",
    [ROMA_ACCESS_RARE] = "rare",
};

static const char *const tristates[] = {
    [ROMA_EITHER] = NULL,
    [ROMA_YES] = "yes",
    [ROMA_NO] = "no",
};

static const char *const otherwises[] = {
    [ROMA_OTHERWISE_FAIL] = "fail",
    [ROMA_OTHERWISE_PLAIN] = "plain",
    [ROMA_OTHERWISE_ABORT] = "abort",
};

_Static_assert(sizeof placements / sizeof placements[0] == ROMA_PLACEMENTS_COUNT,
               "a word a placement");

#define WORDS(list)                                                                                \
    {                                                                                              \
        sizeof(list) / sizeof(list)[0], list                                                       \
    }

const roma__words roma__placement_words = WORDS(placements);
const roma__words roma__lifetime_words = WORDS(lifetimes);
const roma__words roma__access_words = WORDS(accesses);
const roma__words roma__tristate_words = WORDS(tristates);
const roma__words roma__otherwise_words = WORDS(otherwises);

int roma__words_find(const roma__words *words, const char *text, size_t length)
{
    for (unsigned i = 0; i < words->count; i++) {
        const char *word = words->list[i];
        if (word != NULL && strlen(word) == length && memcmp(word, text, length) == 0)
            return (int)i;
    }
    return -1;
}

static const char *word_at(const roma__words *words, unsigned index)
{
    return index < words->count ? words->list[index] : NULL;
}

const char *roma_placement_word(roma_placement placement)
{
    return word_at(&roma__placement_words, (unsigned)placement);
}

const char *roma_lifetime_word(roma_lifetime lifetime)
{
    return word_at(&roma__lifetime_words, (unsigned)lifetime);
}

const char *roma_access_word(roma_access access)
{
    return word_at(&roma__access_words, (unsigned)access);
}
