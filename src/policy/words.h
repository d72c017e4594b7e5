/* words.h - the words of the text form for values of enumerations: one table each, by which text is
 * read and written. */
#ifndef ROMA_POLICY_WORDS_H
#define ROMA_POLICY_WORDS_H

#include <roma/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The word at an index stands for the value of that number; NULL: the text form has none. */
typedef struct roma__words {
    unsigned count;
    const char *const *list;
} roma__words;

extern const roma__words roma__placement_words;
extern const roma__words roma__lifetime_words;
extern const roma__words roma__access_words;
extern const roma__words roma__tristate_words;
extern const roma__words roma__otherwise_words;

/* The value that a text of this length stands for; -1: none. */
int roma__words_find(const roma__words *words, const char *text, size_t length);

#ifdef __cplusplus
}
#endif
#endif
