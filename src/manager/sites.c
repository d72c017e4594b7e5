/* sites.c - taking call sites and writing them down.
 *
 * A program compiled with ROMA_CALL_SITES says file and line before each call. They wait in a
 * variable of the thread, which every call that the macros wrap empties, or the macro where the
 * call may take the fast way, so that a line is never blamed for a later call of another source.
 * Where nothing was said, the return address stands in: one instruction to get, and a name only
 * when somebody prints it.
 *
 * The variable uses the initial-exec model: two instructions to reach also in the shared library,
 * at the price of 16 bytes of the static TLS block when the library is loaded by dlopen. */
#include "manager/sites.h"

#include <roma/block.h>

#include <dlfcn.h>
#include <string.h>

static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    const char *file;
    int line;
} announced;

void roma_site(const char *file, int line)
{
    announced.file = file;
    announced.line = line;
}

roma__site roma__site_take(const void *return_address)
{
    roma__site site = {announced.file, announced.line, return_address};
    announced.file = NULL;
    return site;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void add_address(roma__text *text, const char *address)
{
    Dl_info info;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL)
        roma__text_add(text, "%p", (const void *)address);
    else if (info.dli_sname != NULL)
        roma__text_add(text, "%s+0x%tx (%s)", info.dli_sname,
                       address - (const char *)info.dli_saddr, last_part(info.dli_fname));
    else
        roma__text_add(text, "%s+0x%tx", last_part(info.dli_fname),
                       address - (const char *)info.dli_fbase);
}

void roma__site_add(roma__text *text, const roma__site *site)
{
    if (site->file != NULL)
        roma__text_add(text, "%s:%d", site->file, site->line);
    else
        add_address(text, site->return_address);
}
