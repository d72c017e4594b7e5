/* store.h - what the files of `roma store` share.
 *
 *   store.c        the command and its words: create, ls, checkpoint, restore
 *   store_info.c   info, sessions: the superblock, figures, who is attached
 *   store_check.c  check: what is wrong, and where
 *   store_dump.c   dump: everything that can be reached, as JSON */
#ifndef ROMA_TOOL_STORE_H
#define ROMA_TOOL_STORE_H

#include "json.h"

/* What stands on the command line behind a word. */
typedef struct store_words {
    const char *path;       /* of the store                */
    const char *checkpoint; /* the second argument or NULL */
    roma_store_options making;
    uint64_t timeout_ms;
    bool as_json, recover, copy, stay_shared, contents;
} store_words;

/* Print why a call failed. Returns EXIT_FAULT. */
int store_fault(const char *path, const roma_error *error);

/* Open, to look only unless `writable`. NULL after complaining. */
roma_store *store_open(const store_words *words, bool writable);

int store_info(const store_words *words);
int store_sessions(const store_words *words);
int store_check(const store_words *words);
int store_dump(const store_words *words);

/* "0x1f0000" */
const char *store_ref_text(roma_ref ref, char text[WORD_BYTES]);

#endif
