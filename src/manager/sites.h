/* sites.h - call sites: where in the program a call into roma was made. */
#ifndef ROMA_MANAGER_SITES_H
#define ROMA_MANAGER_SITES_H

#include "base/text.h"

#include <stdbool.h>

typedef struct roma__site {
    const char *file; /* NULL: the caller did not say                    */
    int line;
    const void *return_address; /* into the function that called roma; NULL: no site at all */
} roma__site;

/* The site that roma_site() announced for this call, and nothing for the next one. */
roma__site roma__site_take(const void *return_address);

/* For the first line of a public function without a fast way: its own caller. */
#define ROMA__SITE_HERE() roma__site_take(__builtin_return_address(0))

static inline bool roma__site_is_known(const roma__site *site)
{
    return site->return_address != NULL;
}

/* Append "file.c:12", or "function+0x1c (program)" where no file is known and the dynamic linker
 * has a name, or "program+0x1139" for addr2line, or the bare address. */
void roma__site_add(roma__text *text, const roma__site *site);

#endif
