/* lexer.c - see lexer.h. The line number changes when the break at its end is left, so that a
 * mistake at the end of a line is told with that line. */
#include "policy/lexer.h"

#include <string.h>

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == ':' || c == '.';
}

static bool starts_arrow(const char *at, const char *end)
{
    return end - at >= 2 && at[0] == '-' && at[1] == '>';
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
        at++;
    if (at < end && *at == '#')
        while (at < end && *at != '\n')
            at++;
    return at;
}

static roma__token token_of(roma__token_kind kind, const char *at, size_t length)
{
    return (roma__token){kind, at, length};
}

static roma__token read_word(const char *at, const char *end)
{
    const char *next = at;
    while (next < end && is_word_byte(*next) && !starts_arrow(next, end))
        next++;
    return token_of(ROMA__TOKEN_WORD, at, (size_t)(next - at));
}

static roma__token read_string(const char *at, const char *end)
{
    const char *next = at + 1;
    while (next < end && *next != '"' && *next != '\n')
        next++;
    if (next < end && *next == '"')
        return token_of(ROMA__TOKEN_STRING, at, (size_t)(next - at) + 1);
    return token_of(ROMA__TOKEN_UNCLOSED, at, (size_t)(next - at));
}

static roma__token read_comparison(const char *at, const char *end)
{
    bool equal = end - at >= 2 && at[1] == '=';
    if (*at == '<')
        return token_of(equal ? ROMA__TOKEN_AT_MOST : ROMA__TOKEN_LESS, at, equal ? 2 : 1);
    return token_of(equal ? ROMA__TOKEN_AT_LEAST : ROMA__TOKEN_MORE, at, equal ? 2 : 1);
}

static roma__token read_token(const char *at, const char *end)
{
    if (at == end)
        return token_of(ROMA__TOKEN_END, at, 0);
    if (starts_arrow(at, end))
        return token_of(ROMA__TOKEN_ARROW, at, 2);
    if (is_word_byte(*at))
        return read_word(at, end);
    switch (*at) {
    case '\n':
    case ';': return token_of(ROMA__TOKEN_BREAK, at, 1);
    case '"': return read_string(at, end);
    case ',': return token_of(ROMA__TOKEN_COMMA, at, 1);
    case '=': return token_of(ROMA__TOKEN_EQUAL, at, 1);
    case '<':
    case '>': return read_comparison(at, end);
    default: return token_of(ROMA__TOKEN_WRONG, at, 1);
    }
}

void roma__lexer_start(roma__lexer *lexer, const char *text, size_t bytes)
{
    lexer->end = text + bytes;
    lexer->line_start = text;
    lexer->line = 1;
    lexer->token = read_token(skip_space(text, lexer->end), lexer->end);
}

void roma__lexer_advance(roma__lexer *lexer)
{
    const roma__token *token = &lexer->token;
    const char *next = token->at + token->length;
    if (token->kind == ROMA__TOKEN_BREAK && *token->at == '\n') {
        lexer->line_start = next;
        lexer->line++;
    }
    lexer->token = read_token(skip_space(next, lexer->end), lexer->end);
}

bool roma__lexer_is_word(const roma__lexer *lexer, const char *word)
{
    return lexer->token.kind == ROMA__TOKEN_WORD && lexer->token.length == strlen(word) &&
           memcmp(lexer->token.at, word, lexer->token.length) == 0;
}
