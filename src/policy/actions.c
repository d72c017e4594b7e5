/* actions.c - reads what stands behind the -> of a rule.
 *
 *   actions = action { "," action }
 *   action  = placement | "pages" KIND { KIND } | "providers" NAME { NAME }
 *           | "populate" NUMBER | "strict"
 *
 * Each at most once. A placement is its word and the nodes that it takes (places.c). */
#include "policy/parse.h"

#include "provider/instance.h"

#include <limits.h>
#include <string.h>

/* What has been read of a rule that the rule itself does not tell. */
struct actions {
    roma_rule *rule;
    const char *placement_at; /* NULL: none yet                                   */
    bool behind_list;         /* the last action was a list that spaces separate  */
};

/* Copy the word at hand to a fixed buffer; false when it is none or does not fit. */
static bool copy_word(const roma__parser *parser, char *word, size_t bytes)
{
    const roma__token *token = &parser->lexer.token;
    if (token->kind != ROMA__TOKEN_WORD || token->length >= bytes)
        return false;
    memcpy(word, token->at, token->length);
    word[token->length] = '\0';
    return true;
}

static int parse_kind(roma__parser *parser, roma_pages *pages)
{
    char word[32];
    roma_pages kind;
    unsigned count = roma_pages_count(*pages);
    if (!copy_word(parser, word, sizeof word) || roma_pages_parse(word, &kind) != 0)
        return roma__parse_fail(parser, "a page kind: base, thp, thp:SIZE, hugetlb or a SIZE");
    if (count == ROMA_PAGE_KINDS_MAX)
        return roma__parse_fail(parser, "at most 8 page kinds");
    *pages = roma_pages_then(*pages, kind);
    if (roma_pages_count(*pages) == count)
        return roma__parse_fail(parser, "each page kind only once");
    roma__lexer_advance(&parser->lexer);
    return 0;
}

static int parse_pages(roma__parser *parser, roma_rule *rule)
{
    if (rule->pages != 0)
        return roma__parse_fail_twice(parser, "pages", "rule");
    roma__lexer_advance(&parser->lexer);
    int code = 0;
    do
        code = parse_kind(parser, &rule->pages);
    while (code == 0 && parser->lexer.token.kind == ROMA__TOKEN_WORD);
    return code;
}

static int parse_provider(roma__parser *parser, roma_rule *rule, unsigned index)
{
    char name[ROMA_PROVIDER_NAME_BYTES];
    if (!copy_word(parser, name, sizeof name) || !roma__provider_name_is_valid(name))
        return roma__parse_fail(parser, "a provider's name: up to 31 of a-z, 0-9, - and _");
    if (index == ROMA_RULE_PROVIDERS_MAX)
        return roma__parse_fail(parser, "at most 4 providers");
    for (unsigned i = 0; i < index; i++)
        if (strcmp(rule->providers[i], name) == 0)
            return roma__parse_fail(parser, "each provider only once");
    memcpy(rule->providers[index], name, strlen(name));
    roma__lexer_advance(&parser->lexer);
    return 0;
}

static int parse_providers(roma__parser *parser, roma_rule *rule)
{
    if (rule->providers[0][0] != '\0')
        return roma__parse_fail_twice(parser, "providers", "rule");
    roma__lexer_advance(&parser->lexer);
    int code = 0;
    unsigned index = 0;
    do
        code = parse_provider(parser, rule, index++);
    while (code == 0 && parser->lexer.token.kind == ROMA__TOKEN_WORD);
    return code;
}

static int parse_populate(roma__parser *parser, roma_rule *rule)
{
    if (rule->populate_threads != 0)
        return roma__parse_fail_twice(parser, "populate", "rule");
    roma__lexer_advance(&parser->lexer);
    const roma__token *token = &parser->lexer.token;
    const char *at = token->at, *end = at + token->length;
    unsigned threads = 0;
    if (token->kind != ROMA__TOKEN_WORD || !roma__parse_digits(&at, end, UINT_MAX, &threads) ||
        at != end || threads == 0)
        return roma__parse_fail(parser, "a number of threads above 0");
    rule->populate_threads = threads;
    roma__lexer_advance(&parser->lexer);
    return 0;
}

static int parse_strict(roma__parser *parser, roma_rule *rule)
{
    if (rule->strict)
        return roma__parse_fail_twice(parser, "strict", "rule");
    rule->strict = true;
    roma__lexer_advance(&parser->lexer);
    return 0;
}

static int parse_placement(roma__parser *parser, struct actions *actions)
{
    const roma__token *token = &parser->lexer.token;
    int found = -1;
    if (token->kind == ROMA__TOKEN_WORD)
        found = roma__words_find(&roma__placement_words, token->at, token->length);
    if (found < 0)
        return roma__parse_fail(parser,
                                actions->behind_list
                                    ? "an action (kinds and names in a list have spaces between)"
                                    : "a placement, pages, providers, populate or strict");
    if (actions->placement_at != NULL)
        return roma__parse_fail_twice(parser, "placement", "rule");
    actions->placement_at = token->at;
    actions->rule->placement = (roma_placement)found;
    roma__lexer_advance(&parser->lexer);
    return roma__parse_places(parser, actions->rule);
}

static int parse_action(roma__parser *parser, struct actions *actions)
{
    roma__lexer *lexer = &parser->lexer;
    bool is_list = roma__lexer_is_word(lexer, "pages") || roma__lexer_is_word(lexer, "providers");
    int code;
    if (roma__lexer_is_word(lexer, "pages"))
        code = parse_pages(parser, actions->rule);
    else if (roma__lexer_is_word(lexer, "providers"))
        code = parse_providers(parser, actions->rule);
    else if (roma__lexer_is_word(lexer, "populate"))
        code = parse_populate(parser, actions->rule);
    else if (roma__lexer_is_word(lexer, "strict"))
        code = parse_strict(parser, actions->rule);
    else
        code = parse_placement(parser, actions);
    actions->behind_list = is_list;
    return code;
}

int roma__parse_actions(roma__parser *parser, roma_rule *rule)
{
    struct actions actions = {.rule = rule};
    int code = parse_action(parser, &actions);
    while (code == 0 && parser->lexer.token.kind == ROMA__TOKEN_COMMA) {
        roma__lexer_advance(&parser->lexer);
        code = parse_action(parser, &actions);
    }
    if (code == 0 && rule->strict && rule->placement == ROMA_NODES &&
        roma_nodes_is_empty(&rule->nodes))
        code = roma__parse_fail_at(parser, actions.placement_at,
                                   "nodes by number, for the rule is strict");
    return code;
}
