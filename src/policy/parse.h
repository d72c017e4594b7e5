/* parse.h - what the parts of the parser share: the token at hand, a mistake and its place, and the
 * small things that both conditions and actions are made of.
 *
 * Functions read from the token at hand on and leave the one behind what they read at hand. They
 * return 0, or -EINVAL with the parser's error filled. */
#ifndef ROMA_POLICY_PARSE_H
#define ROMA_POLICY_PARSE_H

#include "policy/lexer.h"
#include "policy/words.h"

#include <roma/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma__parser {
    roma__lexer lexer;
    roma_policy *policy; /* filled as statements are read     */
    roma_error *error;   /* may be NULL                       */
} roma__parser;

/* A mistake here, on the line of the token at hand; `expected` fits roma_error.subject.
 * Both return -EINVAL. */
int roma__parse_fail_at(roma__parser *parser, const char *at, const char *expected);
int roma__parse_fail(roma__parser *parser, const char *expected);

/* What may be there once is there again: "only one %s in a %s". Returns -EINVAL. */
int roma__parse_fail_twice(roma__parser *parser, const char *what, const char *in);

/* A size of at least `least`. */
int roma__parse_size(roma__parser *parser, size_t least, size_t *bytes);

/* One of the words, whose value is then in *value. */
int roma__parse_choice(roma__parser *parser, const roma__words *words, const char *expected,
                       unsigned *value);

/* Decimal digits from *at to `end` at most; *at is then behind them. False when there are none, or
 * when they are more than `most`. */
bool roma__parse_digits(const char **at, const char *end, unsigned most, unsigned *number);

/* What stands before -> and behind it (conditions.c, actions.c). */
int roma__parse_conditions(roma__parser *parser, roma_conditions *when);
int roma__parse_actions(roma__parser *parser, roma_rule *rule);

/* The nodes behind the word of a placement, as many as it takes, and weights (places.c). */
int roma__parse_places(roma__parser *parser, roma_rule *rule);

#ifdef __cplusplus
}
#endif
#endif
