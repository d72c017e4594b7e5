/* parse.c - reads a policy from its text: recursive descent over tokens, one statement a line.
 *
 *   policy     = [ statement ] { break [ statement ] }
 *   statement  = conditions "->" actions | "limit" SIZE [ "threshold" SIZE ]
 *              | "threshold" SIZE | "otherwise" ( "fail" | "plain" | "abort" )
 *
 * docs/policy.md has the whole grammar; conditions.c, actions.c and places.c read what is in a
 * rule. Nothing is allocated but the policy, nothing calls itself, and every token is looked at a
 * fixed number of times. The first mistake ends the reading: it is told by line, column, and what
 * was expected there. */
#include "policy/parse.h"

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "policy/policy.h"

#include <errno.h>
#include <string.h>

/* ---- mistakes ------------------------------------------------------------------------------- */

static int fail_with(roma__parser *parser, const char *at, int code, const char *expected)
{
    roma__error_fill(parser->error, code, ROMA_WHY_POLICY_TEXT, expected);
    if (parser->error != NULL) {
        parser->error->need = parser->lexer.line;
        parser->error->have = (uint64_t)(at - parser->lexer.line_start) + 1;
    }
    return code;
}

int roma__parse_fail_at(roma__parser *parser, const char *at, const char *expected)
{
    return fail_with(parser, at, -EINVAL, expected);
}

int roma__parse_fail(roma__parser *parser, const char *expected)
{
    return fail_with(parser, parser->lexer.token.at, -EINVAL, expected);
}

int roma__parse_fail_twice(roma__parser *parser, const char *what, const char *in)
{
    char expected[sizeof parser->error->subject];
    roma__text text = roma__text_in(expected, sizeof expected);
    roma__text_add(&text, "only one %s in a %s", what, in);
    return roma__parse_fail(parser, expected);
}

/* ---- small things --------------------------------------------------------------------------- */

int roma__parse_size(roma__parser *parser, size_t least, size_t *bytes)
{
    const roma__token *token = &parser->lexer.token;
    char word[32];
    uint64_t size;
    if (token->kind != ROMA__TOKEN_WORD || token->length >= sizeof word)
        return roma__parse_fail(parser, "a size, such as 64M");
    memcpy(word, token->at, token->length);
    word[token->length] = '\0';
    int code = roma_size_parse(word, &size);
    if (code == -ERANGE || (code == 0 && size > SIZE_MAX))
        return roma__parse_fail(parser, "a size that fits into 64 bits");
    if (code < 0)
        return roma__parse_fail(parser, "a size, such as 64M");
    if (size < least)
        return roma__parse_fail(parser, least == 1 ? "a size above 0" : "a size above 1");
    *bytes = (size_t)size;
    roma__lexer_advance(&parser->lexer);
    return 0;
}

int roma__parse_choice(roma__parser *parser, const roma__words *words, const char *expected,
                       unsigned *value)
{
    const roma__token *token = &parser->lexer.token;
    int found = -1;
    if (token->kind == ROMA__TOKEN_WORD)
        found = roma__words_find(words, token->at, token->length);
    if (found < 0)
        return roma__parse_fail(parser, expected);
    *value = (unsigned)found;
    roma__lexer_advance(&parser->lexer);
    return 0;
}

bool roma__parse_digits(const char **at, const char *end, unsigned most, unsigned *number)
{
    const char *digit = *at;
    uint64_t value = 0;
    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++)
        if (value <= most)
            value = value * 10 + (uint64_t)(*digit - '0');
    bool any = digit != *at;
    if (!any || value > most)
        return false;
    *at = digit;
    *number = (unsigned)value;
    return true;
}

/* ---- statements ----------------------------------------------------------------------------- */

static int parse_rule(roma__parser *parser)
{
    roma_policy *policy = parser->policy;
    unsigned count = policy->rules_count;
    if (count > 0 && roma__conditions_hold_always(&policy->rules[count - 1].when))
        return roma__parse_fail(parser, "no rule behind one that decides on every request");
    if (count == ROMA_RULES_MAX)
        return fail_with(parser, parser->lexer.token.at, -ENOSPC, "at most 64 rules");
    roma_rule rule = roma_rule_default();
    int code = roma__parse_conditions(parser, &rule.when);
    if (code == 0)
        code = roma__parse_actions(parser, &rule);
    if (code < 0)
        return code;
    code = roma_policy_add_rule(policy, &rule, NULL);
    roma_check(code == 0); /* what could be wrong with it has been told, with its place */
    return 0;
}

static int parse_threshold(roma__parser *parser)
{
    if (parser->policy->threshold_bytes != 0)
        return roma__parse_fail_twice(parser, "threshold", "policy");
    roma__lexer_advance(&parser->lexer);
    const char *at = parser->lexer.token.at;
    size_t limit = parser->policy->limit_bytes, threshold = 0;
    int code = roma__parse_size(parser, 1, &threshold);
    if (code == 0 && roma_policy_set_limit(parser->policy, limit, threshold) != 0)
        code = roma__parse_fail_at(parser, at, "a threshold that is not above the limit");
    return code;
}

static int parse_limit(roma__parser *parser)
{
    if (parser->policy->limit_bytes != 0)
        return roma__parse_fail_twice(parser, "limit", "policy");
    roma__lexer_advance(&parser->lexer);
    const char *at = parser->lexer.token.at;
    size_t limit = 0, threshold = parser->policy->threshold_bytes;
    int code = roma__parse_size(parser, 1, &limit);
    if (code == 0 && roma_policy_set_limit(parser->policy, limit, threshold) != 0)
        code = roma__parse_fail_at(parser, at, "a limit that is not below the threshold");
    if (code == 0 && roma__lexer_is_word(&parser->lexer, "threshold"))
        code = parse_threshold(parser);
    return code;
}

static int parse_otherwise(roma__parser *parser, bool *seen)
{
    unsigned value = 0;
    if (*seen)
        return roma__parse_fail_twice(parser, "otherwise", "policy");
    *seen = true;
    roma__lexer_advance(&parser->lexer);
    int code = roma__parse_choice(parser, &roma__otherwise_words, "fail, plain or abort", &value);
    if (code == 0)
        parser->policy->otherwise = (roma_otherwise)value;
    return code;
}

static bool ends_statement(const roma__parser *parser)
{
    roma__token_kind kind = parser->lexer.token.kind;
    return kind == ROMA__TOKEN_END || kind == ROMA__TOKEN_BREAK;
}

/* Each statement's own part leaves at hand what it could make no use of. */
static int parse_statements(roma__parser *parser)
{
    bool otherwise_seen = false;
    while (parser->lexer.token.kind != ROMA__TOKEN_END) {
        int code = 0;
        const char *behind = "the end of the line";
        if (roma__lexer_is_word(&parser->lexer, "limit")) {
            code = parse_limit(parser);
        } else if (roma__lexer_is_word(&parser->lexer, "threshold")) {
            code = parse_threshold(parser);
        } else if (roma__lexer_is_word(&parser->lexer, "otherwise")) {
            code = parse_otherwise(parser, &otherwise_seen);
        } else if (!ends_statement(parser)) {
            behind = "a comma or the end of the line";
            code = parse_rule(parser);
        }
        if (code == 0 && !ends_statement(parser))
            code = roma__parse_fail(parser, behind);
        if (code < 0)
            return code;
        roma__lexer_advance(&parser->lexer);
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

int roma__policy_parse(const char *text, size_t bytes, roma_policy **policy, roma_error *error)
{
    roma__parser parser = {.error = error};
    *policy = NULL;
    if (roma_policy_create(&parser.policy) < 0)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    roma__lexer_start(&parser.lexer, text, bytes);
    int code = parse_statements(&parser);
    if (code < 0) {
        roma_policy_destroy(parser.policy);
        return code;
    }
    *policy = parser.policy;
    return roma__error(error, 0, ROMA_WHY_NONE);
}

int roma_policy_parse(const char *text, roma_policy **policy, roma_error *error)
{
    if (policy == NULL)
        return roma__error_invalid(error, "policy");
    *policy = NULL;
    if (text == NULL)
        return roma__error_invalid(error, "text");
    return roma__policy_parse(text, strlen(text), policy, error);
}
