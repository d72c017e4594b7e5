/* lexer.h - the text of a policy as tokens, one at a time.
 *
 *   word     letters, digits and _ - : .  ("->" ends one)
 *   string   "...", on one line
 *   signs    , = < > <= >= ->
 *   break    the end of a line, or ;
 *   end      of the text
 *   wrong    a byte that starts none of these
 *
 * Spaces, tabs and carriage returns separate; # starts a comment, which goes to the end of the
 * line. A token is where it stands in the text: nothing is copied, and the text need not end in a
 * zero byte. */
#ifndef ROMA_POLICY_LEXER_H
#define ROMA_POLICY_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum roma__token_kind {
    ROMA__TOKEN_END,
    ROMA__TOKEN_BREAK,
    ROMA__TOKEN_WORD,
    ROMA__TOKEN_STRING,   /* with its quotes                                       */
    ROMA__TOKEN_UNCLOSED, /* a string that the line ends in, up to there           */
    ROMA__TOKEN_COMMA,
    ROMA__TOKEN_EQUAL,
    ROMA__TOKEN_LESS,
    ROMA__TOKEN_MORE,
    ROMA__TOKEN_AT_MOST,
    ROMA__TOKEN_AT_LEAST,
    ROMA__TOKEN_ARROW,
    ROMA__TOKEN_WRONG
} roma__token_kind;

typedef struct roma__token {
    roma__token_kind kind;
    const char *at;
    size_t length;
} roma__token;

typedef struct roma__lexer {
    roma__token token;      /* the one at hand                                       */
    const char *end;        /* of the text                                           */
    const char *line_start; /* of the line that the token stands on                  */
    uint64_t line;          /* its number, from 1                                    */
} roma__lexer;

/* Stand on the first token. */
void roma__lexer_start(roma__lexer *lexer, const char *text, size_t bytes);

/* Go on to the next one; the end stays. */
void roma__lexer_advance(roma__lexer *lexer);

/* Is the token at hand this word? */
bool roma__lexer_is_word(const roma__lexer *lexer, const char *word);

#ifdef __cplusplus
}
#endif
#endif
