/* instance.h - a registered provider, as the dispatch and the built-in providers see it. */
#ifndef ROMA_PROVIDER_INSTANCE_H
#define ROMA_PROVIDER_INSTANCE_H

#include <roma/provider.h>

#include <stdatomic.h>

struct roma_provider {
    roma_provider_ops ops; /* whole and checked                                          */
    void *self;
    char name[ROMA_PROVIDER_NAME_BYTES];
    bool built_in;             /* cannot be unregistered                                     */
    _Atomic(uint64_t) extents; /* acquired or imported, not released                         */
    _Atomic(uint64_t) holds;   /* managers and wrappers that use it                          */
};

/* Register a table that needs no check, under any name. Returns 0, -ENOMEM, or what open
 *  returned. */
int roma__provider_make(const roma_provider_ops *ops, const char *name, const void *config,
                        roma_provider **provider, roma_error *error);

/* A provider's answer as callers may rely on it: no positive code where none has a meaning, and an
 * error record that says at least as much as the code. Returns the code. */
int roma__provider_settle(const char *name, int code, roma_error *error);

/* Is this a name that a provider may be registered under? */
bool roma__provider_name_is_valid(const char *name);

#endif
