/* policy.c - a manager's policy: put in place, held there while a request is routed, replaced.
 *
 * The policy is a copy of the manager's own. Who routes a request holds it in place, by a mutex,
 * and who replaces it waits until nobody does. Without a policy nobody touches the lock, and
 * neither does the fast way (plain.c tells why that is right). A read-write lock would let several
 * threads route at once, but cannot be held over fork: the C library knows its writer by the
 * thread, and the child has another one. */
#include "manager/manager.h"

#include "base/error.h"
#include "numa/arena/named.h"
#include "policy/policy.h"
#include "provider/dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- holding -------------------------------------------------------------------------------- */

const roma_policy *roma__policy_hold(roma_manager *manager, bool *is_held)
{
    *is_held = atomic_load_explicit(&manager->has_policy, memory_order_acquire);
    if (!*is_held)
        return NULL;
    pthread_mutex_lock(&manager->policy_lock);
    return manager->policy;
}

void roma__policy_let_go(roma_manager *manager, bool is_held)
{
    if (is_held)
        pthread_mutex_unlock(&manager->policy_lock);
}

void roma__policy_failed(const roma_manager *manager, const roma_error *error)
{
    if (!atomic_load_explicit(&manager->aborts, memory_order_relaxed))
        return;
    fprintf(stderr, "roma: manager %s: ", manager->name);
    (void)roma_error_print(stderr, error);
    abort();
}

/* ---- making --------------------------------------------------------------------------------- */

void roma__policy_open(roma_manager *manager)
{
    pthread_mutex_init(&manager->policy_lock, NULL);
    manager->providers_known = manager->providers_count;
    roma__plain_forget(manager);
}

void roma__policy_close(roma_manager *manager)
{
    roma_policy_destroy(manager->policy);
    pthread_mutex_destroy(&manager->policy_lock);
}

/* ---- providers by name ---------------------------------------------------------------------- */

/* Those that are always there need not be among a manager's. Under policy_lock. Those that were
 * added stay: heaps may use them. */
static int know_providers(roma_manager *manager, const roma_policy *policy, roma_error *error)
{
    size_t before = manager->providers_known, known = before;
    int code = roma__wish_know_providers(policy, manager->providers, &known, roma__provider_named,
                                         error);
    for (size_t i = before; i < known; i++)
        roma__provider_hold(manager->providers[i]);
    manager->providers_known = known;
    return code;
}

/* ---- replacing ------------------------------------------------------------------------------ */

static void set_limits(roma_manager *manager)
{
    const roma_policy *policy = manager->policy;
    size_t limit = manager->options_limit_bytes, threshold = manager->options_threshold_bytes;
    if (policy != NULL && policy->limit_bytes > 0)
        limit = policy->limit_bytes;
    if (policy != NULL && policy->threshold_bytes > 0 && manager->on_threshold != NULL)
        threshold = policy->threshold_bytes;
    atomic_store_explicit(&manager->limit_bytes, limit, memory_order_relaxed);
    atomic_store_explicit(&manager->threshold_bytes, threshold, memory_order_relaxed);
}

int roma_manager_policy(roma_manager *manager, const roma_policy *policy, roma_error *error)
{
    roma_policy *copy = NULL;
    if (manager == NULL)
        return roma__error_invalid(error, "manager");
    if (manager->store != NULL)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "a policy for the manager of a store");
    if (roma__policy_copy(policy, &copy) < 0)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    /* Whoever routes from now on takes the lock. Who did not, found no policy: there was none. */
    atomic_store_explicit(&manager->has_policy, true, memory_order_release);
    pthread_mutex_lock(&manager->policy_lock);
    int code = know_providers(manager, copy, error);
    if (code == 0) {
        roma_policy *before = manager->policy;
        manager->policy = copy;
        copy = before;
        bool aborts = manager->policy != NULL && manager->policy->otherwise == ROMA_OTHERWISE_ABORT;
        atomic_store_explicit(&manager->aborts, aborts, memory_order_relaxed);
        set_limits(manager);
        roma__plain_forget(manager);
    }
    pthread_mutex_unlock(&manager->policy_lock);
    roma_policy_destroy(copy);
    return code;
}
