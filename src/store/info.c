/* info.c - what a store's superblock says, without opening the store: also of one that a crash of
 * the machine interrupted. Nothing is locked; a superblock that is changed at that moment has
 * another whole copy. */
#include "base/error.h"
#include "base/text.h"
#include "store/checkpoint.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void uuid_text(const uint8_t *uuid, roma__text *out)
{
    for (unsigned i = 0; i < 16; i++)
        roma__text_add(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
}

/* As opening judges it: not closed, in no use, and of another run of the machine. */
static bool is_crashed(const roma__super *super, bool is_alive)
{
    char boot_id[sizeof super->boot_id];
    if ((super->flags & (ROMA__SUPER_CLEAN | ROMA__SUPER_VOLATILE)) != 0 || is_alive)
        return false;
    roma__boot_id(boot_id, sizeof boot_id);
    return strncmp(super->boot_id, boot_id, sizeof boot_id) != 0;
}

static void fill(const roma__super *super, const roma__regions *regions, bool is_alive,
                 roma_store_info *info)
{
    memset(info, 0, sizeof *info);
    info->version = super->version;
    info->features = super->features;
    info->page_bytes = super->page_bytes;
    info->sessions = super->sessions;
    info->lanes = super->lanes;
    info->max_bytes = (regions->max_units - regions->first_unit) << ROMA__UNIT_SHIFT;
    info->committed_bytes = (super->committed_units - regions->first_unit) << ROMA__UNIT_SHIFT;
    info->file_bytes = super->committed_units << ROMA__UNIT_SHIFT;
    info->incarnation = super->incarnation;
    info->is_clean = (super->flags & ROMA__SUPER_CLEAN) != 0;
    info->is_crashed = is_crashed(super, is_alive);
    roma__text uuid = roma__text_in(info->uuid, sizeof info->uuid);
    uuid_text(super->uuid, &uuid);
}

static int read_info(int fd, roma_store_info *info, roma_error *error)
{
    roma__super super;
    roma__regions regions;
    int code = roma__super_read(fd, &super, &regions, error);
    if (code < 0)
        return code;
    int alive = roma__sessions_alive(fd, &regions, NULL);
    if (alive < 0)
        return roma__error_call(error, "fcntl", -alive);
    fill(&super, &regions, alive == 1, info);
    return 0;
}

int roma_store_info_of(const char *path, roma_store_info *info, roma_error *error)
{
    if (path == NULL || info == NULL)
        return roma__error_invalid(error, path == NULL ? "path" : "info");
    int fd = roma__sys->open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return roma__error_call(error, "open", errno);
    int code = read_info(fd, info, error);
    roma__sys->close(fd);
    return code;
}
