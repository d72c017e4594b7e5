/* places.c - reads the nodes behind the word of a placement, and their weights.
 *
 *   places  = ""                        anywhere local bandwidth latency capacity
 *           | list | "any"              nodes
 *           | NODE                      preferred
 *           | list                      preferred-many
 *           | [ list ]                  interleave
 *           | [ NODE ]                  nearest
 *           | [ list | shares ]         weighted
 *   list    = range { "," range }
 *   shares  = range "=" WEIGHT { "," range "=" WEIGHT }
 *   range   = NODE [ "-" NODE ]         without spaces
 *
 * A comma goes on with the list when a digit follows, and else with the next action: no action
 * starts with a digit. Weights are kept by node while they are read, because the rule has them in
 * the order of nodes whatever order they were written in. */
#include "policy/parse.h"

#include "policy/placement.h"

#include <string.h>

enum { NODE_MOST = ROMA_NODES_MAX - 1 };

static const char list_expected[] = "nodes, such as 0-1,3";

struct range {
    unsigned first, last;
};

/* The word at hand as a range. */
static int parse_range(roma__parser *parser, const char *expected, struct range *range)
{
    const roma__token *token = &parser->lexer.token;
    const char *at = token->at, *end = at + token->length;
    if (token->kind != ROMA__TOKEN_WORD || *at < '0' || *at > '9')
        return roma__parse_fail(parser, expected);
    if (!roma__parse_digits(&at, end, NODE_MOST, &range->first))
        return roma__parse_fail_at(parser, at, "a node below 1024");
    range->last = range->first;
    if (at < end && *at == '-') {
        at++;
        if (!roma__parse_digits(&at, end, NODE_MOST, &range->last))
            return roma__parse_fail_at(parser, at, "a node below 1024");
        if (range->last < range->first)
            return roma__parse_fail(parser, "a range that rises");
    }
    if (at != end)
        return roma__parse_fail_at(parser, at, list_expected);
    roma__lexer_advance(&parser->lexer);
    return 0;
}

static void add_range(roma_nodes *nodes, const struct range *range)
{
    for (unsigned node = range->first; node <= range->last; node++)
        roma_nodes_add(nodes, node);
}

static bool has_of_range(const roma_nodes *nodes, const struct range *range)
{
    int next = roma_nodes_next(nodes, range->first);
    return next >= 0 && (unsigned)next <= range->last;
}

/* Go past a comma that a digit follows; false, and nothing done, when there is none. */
static bool goes_on(roma__parser *parser)
{
    roma__lexer ahead = parser->lexer;
    if (ahead.token.kind != ROMA__TOKEN_COMMA)
        return false;
    roma__lexer_advance(&ahead);
    if (ahead.token.kind != ROMA__TOKEN_WORD || *ahead.token.at < '0' || *ahead.token.at > '9')
        return false;
    parser->lexer = ahead;
    return true;
}

static int parse_list(roma__parser *parser, roma_nodes *nodes)
{
    int code = 0;
    do {
        struct range range = {0, 0};
        code = parse_range(parser, list_expected, &range);
        if (code == 0)
            add_range(nodes, &range);
    } while (code == 0 && goes_on(parser));
    return code;
}

static int parse_one(roma__parser *parser, roma_nodes *nodes)
{
    const char *at = parser->lexer.token.at;
    int code = parse_list(parser, nodes);
    if (code == 0 && roma_nodes_count(nodes) != 1)
        code = roma__parse_fail_at(parser, at, "one node");
    return code;
}

/* ---- weights -------------------------------------------------------------------------------- */

struct shares {
    roma_nodes nodes;
    uint8_t weights[ROMA_NODES_MAX]; /* by node                        */
    bool given;                      /* the first range has a weight   */
};

static int parse_weight(roma__parser *parser, unsigned *weight)
{
    roma__lexer_advance(&parser->lexer); /* past the = */
    const roma__token *token = &parser->lexer.token;
    const char *at = token->at, *end = at + token->length;
    if (token->kind != ROMA__TOKEN_WORD || !roma__parse_digits(&at, end, UINT8_MAX, weight) ||
        at != end)
        return roma__parse_fail(parser, "a weight from 0 to 255");
    roma__lexer_advance(&parser->lexer);
    return 0;
}

/* A range, and its weight when all have one. */
static int parse_share(roma__parser *parser, struct shares *shares)
{
    struct range range = {0, 0};
    unsigned weight = 0;
    const char *at = parser->lexer.token.at;
    bool is_first = roma_nodes_is_empty(&shares->nodes);
    int code = parse_range(parser, "nodes, such as 0-1,3 or 0=3,1=1", &range);
    if (code < 0)
        return code;
    if (has_of_range(&shares->nodes, &range))
        return roma__parse_fail_at(parser, at, "each node only once");
    bool has_weight = parser->lexer.token.kind == ROMA__TOKEN_EQUAL;
    if (is_first)
        shares->given = has_weight;
    if (shares->given != has_weight)
        return roma__parse_fail(parser, has_weight ? "no weight, for the first node has none"
                                                   : "= and a weight, for the first node has one");
    if (has_weight)
        code = parse_weight(parser, &weight);
    if (code < 0)
        return code;
    add_range(&shares->nodes, &range);
    memset(&shares->weights[range.first], (int)weight, range.last - range.first + 1);
    return 0;
}

static int parse_shares(roma__parser *parser, roma_rule *rule)
{
    struct shares shares = {.given = false};
    const char *at = parser->lexer.token.at;
    int code = 0;
    do
        code = parse_share(parser, &shares);
    while (code == 0 && goes_on(parser));
    if (code < 0)
        return code;
    if (roma_nodes_count(&shares.nodes) > ROMA_WEIGHTS_MAX)
        return roma__parse_fail_at(parser, at, "at most 64 nodes");
    unsigned index = 0;
    for (int node = roma_nodes_next(&shares.nodes, 0); node >= 0;
         node = roma_nodes_next(&shares.nodes, (unsigned)node + 1))
        rule->weights[index++] = shares.weights[node];
    if (shares.given && !roma__weights_are_given(rule->weights))
        return roma__parse_fail_at(parser, at, "a weight above 0 for some node");
    rule->nodes = shares.nodes;
    return 0;
}

/* ---- by placement --------------------------------------------------------------------------- */

int roma__parse_places(roma__parser *parser, roma_rule *rule)
{
    bool is_word = parser->lexer.token.kind == ROMA__TOKEN_WORD;
    switch (rule->placement) {
    case ROMA_NODES:
        if (!roma__lexer_is_word(&parser->lexer, "any"))
            return parse_list(parser, &rule->nodes);
        roma__lexer_advance(&parser->lexer);
        return 0;
    case ROMA_PREFERRED: return parse_one(parser, &rule->nodes);
    case ROMA_PREFERRED_MANY: return parse_list(parser, &rule->nodes);
    case ROMA_NEAREST: return is_word ? parse_one(parser, &rule->nodes) : 0;
    case ROMA_INTERLEAVE: return is_word ? parse_list(parser, &rule->nodes) : 0;
    case ROMA_WEIGHTED: return is_word ? parse_shares(parser, rule) : 0;
    default: return 0; /* the others take none */
    }
}
