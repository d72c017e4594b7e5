/* conditions.c - reads what stands before the -> of a rule.
 *
 *   conditions = "any" | condition { condition }
 *   condition  = "size" ( ">=" | "<=" | ">" | "<" ) SIZE | "label" STRING
 *              | "lifetime" ( "short" | "long" ) | "access" ( "sequential" | "random" | "rare" )
 *              | "shared" ( "yes" | "no" ) | "persistent" ( "yes" | "no" )
 *
 * A condition that has been read is not zero, so a second one of its kind is seen by that. */
#include "policy/parse.h"

#include "policy/policy.h"

#include <errno.h>
#include <string.h>

static int parse_least(roma__parser *parser, roma_conditions *when, bool at)
{
    size_t bytes = 0;
    if (when->least_bytes != 0)
        return roma__parse_fail_twice(parser, "lower end of size", "rule");
    roma__lexer_advance(&parser->lexer);
    const char *size_at = parser->lexer.token.at;
    int code = roma__parse_size(parser, at ? 1 : 0, &bytes);
    if (code == 0 && !at && bytes == SIZE_MAX)
        return roma__parse_fail_at(parser, size_at, "a size that leaves a larger one");
    if (code == 0)
        when->least_bytes = at ? bytes : bytes + 1;
    return code;
}

static int parse_most(roma__parser *parser, roma_conditions *when, bool at)
{
    size_t bytes = 0;
    if (when->most_bytes != 0)
        return roma__parse_fail_twice(parser, "upper end of size", "rule");
    roma__lexer_advance(&parser->lexer);
    int code = roma__parse_size(parser, at ? 1 : 2, &bytes);
    if (code == 0)
        when->most_bytes = at ? bytes : bytes - 1;
    return code;
}

static int parse_end_of_size(roma__parser *parser, roma_conditions *when)
{
    switch (parser->lexer.token.kind) {
    case ROMA__TOKEN_AT_LEAST: return parse_least(parser, when, true);
    case ROMA__TOKEN_MORE: return parse_least(parser, when, false);
    case ROMA__TOKEN_AT_MOST: return parse_most(parser, when, true);
    case ROMA__TOKEN_LESS: return parse_most(parser, when, false);
    default: return roma__parse_fail(parser, ">=, <=, > or < and a size");
    }
}

static int parse_of_size(roma__parser *parser, roma_conditions *when)
{
    const char *at = parser->lexer.token.at;
    int code = parse_end_of_size(parser, when);
    if (code == 0 && when->most_bytes != 0 && when->most_bytes < when->least_bytes)
        code = roma__parse_fail_at(parser, at, "ends of size with a length between them");
    return code;
}

static int parse_label(roma__parser *parser, roma_conditions *when)
{
    const roma__token *token = &parser->lexer.token;
    if (token->kind == ROMA__TOKEN_UNCLOSED)
        return roma__parse_fail_at(parser, token->at + token->length, "a closing quote");
    if (token->kind != ROMA__TOKEN_STRING)
        return roma__parse_fail(parser, "a pattern in quotes, such as \"index*\"");
    const char *text = token->at + 1;
    size_t length = token->length - 2;
    if (length == 0)
        return roma__parse_fail(parser, "a pattern that is not empty");
    if (length >= ROMA_LABEL_PATTERN_BYTES)
        return roma__parse_fail(parser, "a pattern of at most 63 bytes");
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == '\x7f')
            return roma__parse_fail_at(parser, text + i, "no control byte in a pattern; use ?");
    memcpy(when->label, text, length);
    roma__lexer_advance(&parser->lexer);
    return 0;
}

static int parse_lifetime(roma__parser *parser, roma_conditions *when)
{
    unsigned value = 0;
    int code = roma__parse_choice(parser, &roma__lifetime_words, "short or long", &value);
    when->lifetime = (roma_lifetime)value;
    return code;
}

static int parse_access(roma__parser *parser, roma_conditions *when)
{
    unsigned value = 0;
    int code = roma__parse_choice(parser, &roma__access_words, "sequential, random or rare",
                                  &value);
    when->access = (roma_access)value;
    return code;
}

static int parse_tristate(roma__parser *parser, roma_tristate *answer)
{
    unsigned value = 0;
    int code = roma__parse_choice(parser, &roma__tristate_words, "yes or no", &value);
    *answer = (roma_tristate)value;
    return code;
}

static int parse_shared(roma__parser *parser, roma_conditions *when)
{
    return parse_tristate(parser, &when->shared);
}

static int parse_persistent(roma__parser *parser, roma_conditions *when)
{
    return parse_tristate(parser, &when->persistent);
}

/* `size` may be there twice, for either end. */
static bool is_there(const roma_conditions *when, const char *word)
{
    return (strcmp(word, "label") == 0 && when->label[0] != '\0') ||
           (strcmp(word, "lifetime") == 0 && when->lifetime != ROMA_LIFETIME_UNKNOWN) ||
           (strcmp(word, "access") == 0 && when->access != ROMA_ACCESS_UNKNOWN) ||
           (strcmp(word, "shared") == 0 && when->shared != ROMA_EITHER) ||
           (strcmp(word, "persistent") == 0 && when->persistent != ROMA_EITHER);
}

static const struct condition {
    const char *word;
    int (*parse)(roma__parser *parser, roma_conditions *when);
} conditions[] = {
    {"size", parse_of_size},  {"label", parse_label},   {"lifetime", parse_lifetime},
    {"access", parse_access}, {"shared", parse_shared}, {"persistent", parse_persistent},
};

static const struct condition *condition_at_hand(const roma__parser *parser)
{
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        if (roma__lexer_is_word(&parser->lexer, conditions[i].word))
            return &conditions[i];
    return NULL;
}

/* One or more, up to the arrow. */
static int parse_each(roma__parser *parser, roma_conditions *when)
{
    const char *expected = "any, a condition, limit, threshold or otherwise";
    do {
        const struct condition *condition = condition_at_hand(parser);
        if (condition == NULL)
            return roma__parse_fail(parser, expected);
        if (is_there(when, condition->word))
            return roma__parse_fail_twice(parser, condition->word, "rule");
        roma__lexer_advance(&parser->lexer);
        int code = condition->parse(parser, when);
        if (code < 0)
            return code;
        expected = "another condition or ->";
    } while (parser->lexer.token.kind != ROMA__TOKEN_ARROW);
    return 0;
}

int roma__parse_conditions(roma__parser *parser, roma_conditions *when)
{
    int code = 0;
    if (!roma__lexer_is_word(&parser->lexer, "any"))
        code = parse_each(parser, when);
    else
        roma__lexer_advance(&parser->lexer);
    if (code == 0 && parser->lexer.token.kind != ROMA__TOKEN_ARROW)
        code = roma__parse_fail(parser, "->");
    if (code == 0)
        roma__lexer_advance(&parser->lexer);
    return code;
}
