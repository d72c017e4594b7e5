/* register.c - registering providers, and unregistering them.
 *
 * A table is checked once, here, and copied into one of full length; an optional group that it does
 * not announce is absent as a whole. So a call tests a capability bit and never a pointer. */
#include "provider/instance.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/structs.h"
#include "base/text.h"
#include "provider/dispatch.h"
#include "sys/records.h"

#include <errno.h>
#include <string.h>

/* ---- registration --------------------------------------------------------------------------- */

typedef void (*any_function)(void);

/* Every function of the table, and the group that it belongs to; 0: mandatory. */
static const struct member {
    const char *name;
    size_t offset;
    uint32_t group;
} members[] = {
#define MEMBER(name, group)                                                                        \
    {                                                                                              \
#name, offsetof(roma_provider_ops, name), group                                            \
    }
    MEMBER(probe, 0),
    MEMBER(acquire, 0),
    MEMBER(release, 0),
    MEMBER(resize, 0),
    MEMBER(populate, 0),
    MEMBER(advise, 0),
    MEMBER(query, 0),
    MEMBER(stats, 0),
    MEMBER(migrate, ROMA_CAN_MIGRATE),
    MEMBER(sync, ROMA_CAN_SYNC),
    MEMBER(export_fd, ROMA_CAN_SHARE),
    MEMBER(import_fd, ROMA_CAN_SHARE),
#undef MEMBER
};

enum { FIRST_OPS_BYTES = offsetof(roma_provider_ops, stats) + sizeof(any_function) };

static bool has_member(const roma_provider_ops *ops, const struct member *member)
{
    any_function function;
    memcpy(&function, (const char *)ops + member->offset, sizeof function);
    return function != NULL;
}

bool roma__provider_name_is_valid(const char *name)
{
    if (name == NULL)
        return false;
    size_t length = strnlen(name, ROMA_PROVIDER_NAME_BYTES);
    return length > 0 && length < ROMA_PROVIDER_NAME_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == length;
}

static int check_ops(const roma_provider_ops *ops, roma_error *error)
{
    if (ops->version != ROMA_PROVIDER_VERSION)
        return roma__error_invalid(error, "version");
    if ((ops->capabilities & ~(uint32_t)ROMA_CAN_ALL) != 0)
        return roma__error_invalid(error, "capabilities");
    if (!roma__provider_name_is_valid(ops->name))
        return roma__error_invalid(error, "name");
    if ((ops->open == NULL) != (ops->close == NULL))
        return roma__error_invalid(
            error, ops->open != NULL ? "open" : "close"); /* the one that stands alone */
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const struct member *member = &members[i];
        bool wanted = member->group == 0 || (ops->capabilities & member->group) != 0;
        if (has_member(ops, member) != wanted)
            return roma__error_invalid(error, member->name);
    }
    return 0;
}

static int open_self(const roma_provider_ops *ops, const void *config, void **self,
                     roma_error *error)
{
    if (ops->open == NULL) {
        union {
            const void *given;
            void *kept;
        } pointer = {config}; /* the user's own: const for us alone */
        *self = pointer.kept;
        return 0;
    }
    return ops->open(config, self, error);
}

int roma__provider_settle(const char *name, int code, roma_error *error)
{
    if (code == 0) {
        (void)roma__error(error, 0, ROMA_WHY_NONE);
        return 0;
    }
    if (code > 0)
        code = -EIO;
    if (error->code == 0)
        (void)roma__error_subject(error, code, ROMA_WHY_PROVIDER, name);
    error->code = code;
    return code;
}

int roma__provider_make(const roma_provider_ops *ops, const char *name, const void *config,
                        roma_provider **provider, roma_error *error)
{
    roma_error ignored = {.node = -1};
    error = error != NULL ? error : &ignored;
    roma_provider *made = roma__record_new(sizeof *made);
    if (made == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    made->ops = *ops;
    roma__text_copy(made->name, sizeof made->name, name);
    made->ops.name = made->name;
    (void)roma__error(error, 0, ROMA_WHY_NONE);
    int code = roma__provider_settle(made->name, open_self(ops, config, &made->self, error), error);
    if (code < 0) {
        roma__record_free(made, sizeof *made);
        return code;
    }
    *provider = made;
    return 0;
}

int roma_provider_register(const roma_provider_ops *ops, const void *config,
                           roma_provider **provider, roma_error *error)
{
    if (ops == NULL)
        return roma__error_invalid(error, "ops");
    if (provider == NULL)
        return roma__error_invalid(error, "provider");
    roma_provider_ops own;
    int code = roma__struct_read(&own, sizeof own, ops, FIRST_OPS_BYTES, "size", error);
    if (code == 0)
        code = check_ops(&own, error);
    return code < 0 ? code : roma__provider_make(&own, own.name, config, provider, error);
}

int roma_provider_unregister(roma_provider *provider)
{
    if (provider == NULL || provider->built_in)
        return -EINVAL;
    /* Acquire: what threads did with the provider before they let go of it comes before close. */
    if (atomic_load_explicit(&provider->extents, memory_order_acquire) != 0 ||
        atomic_load_explicit(&provider->holds, memory_order_acquire) != 0)
        return -EBUSY;
    if (provider->ops.close != NULL)
        provider->ops.close(provider->self);
    roma__record_free(provider, sizeof *provider);
    return 0;
}

const char *roma_provider_name(const roma_provider *provider)
{
    return provider == NULL ? "" : provider->name;
}

uint32_t roma_provider_capabilities(const roma_provider *provider)
{
    return provider == NULL ? 0 : provider->ops.capabilities;
}

void roma__provider_hold(roma_provider *provider)
{
    atomic_fetch_add_explicit(&provider->holds, 1, memory_order_relaxed);
}

void roma__provider_drop(roma_provider *provider)
{
    atomic_fetch_sub_explicit(&provider->holds, 1, memory_order_release);
}

uint64_t roma__provider_extents(const roma_provider *provider)
{
    return atomic_load_explicit(&provider->extents, memory_order_relaxed);
}
