/* roma/visitor.h - statistics as a walk: typed keys and values, given to the caller's function.
 *
 * Providers and managers hand out their figures this way; the JSON writer, the tool and the harness
 * are visitors. A key is a path of words with dots ("blocks.live"); its unit is its last word
 * (bytes, count, ns). */
#ifndef ROMA_VISITOR_H
#define ROMA_VISITOR_H

#include <roma/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum roma_value_type {
    ROMA_VALUE_COUNT,
    ROMA_VALUE_BYTES,
    ROMA_VALUE_TEXT
} roma_value_type;

typedef struct roma_value {
    roma_value_type type;
    uint64_t number;  /**< counts and bytes                                  */
    const char *text; /**< text; valid during the call only; NULL otherwise  */
} roma_value;

/** The caller's function. `key` is valid during the call only. A non-zero return ends the walk and
 *  is returned by it. It must not call the manager or provider that it visits. */
typedef int (*roma_visit)(void *context, const char *key, const roma_value *value);

#ifdef __cplusplus
}
#endif
#endif
