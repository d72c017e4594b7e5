/* manager.c - making and unmaking managers, and the one that is always there. */
#include "manager/manager.h"

#include "base/check.h"
#include "base/error.h"
#include "manager/tools.h"
#include "provider/dispatch.h"
#include "sys/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- make ------------------------------------------------------------------------------------ */

/* Lay a manager down in zeroed memory. Returns 0, -EINVAL, -E2BIG. */
static int open_in(roma_manager *manager, const roma_options *options, roma_error *error)
{
    int code = roma__options_take(manager, options, error);
    if (code < 0)
        return code;
    pthread_mutex_init(&manager->routes_lock, NULL);
    roma__policy_open(manager);
    roma__notes_open(&manager->notes);
    for (size_t i = 0; i < manager->providers_count; i++)
        roma__provider_hold(manager->providers[i]);
    roma__managers_add(manager);
    return 0;
}

/* The reverse; its heaps are gone by now. */
static void close_in(roma_manager *manager)
{
    for (size_t i = 0; i < manager->providers_known; i++)
        roma__provider_drop(manager->providers[i]);
    roma__manager_let_engine(manager);
    roma__notes_close(&manager->notes);
    roma__policy_close(manager);
    pthread_mutex_destroy(&manager->routes_lock);
}

int roma_manager_create(roma_manager **made, const roma_options *options, roma_error *error)
{
    if (made == NULL)
        return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "manager");
    roma_manager *manager = NULL;
    if (roma__managers_watch_fork() == 0)
        manager = roma__record_new(sizeof *manager);
    if (manager == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    int code = open_in(manager, options, error);
    if (code == 0 && manager->background) {
        code = roma__background_join(manager, error);
        if (code < 0) {
            roma__managers_remove(manager);
            close_in(manager);
        }
    }
    if (code < 0) {
        roma__record_free(manager, sizeof *manager);
        return code;
    }
    *made = manager;
    return 0;
}

/* ---- the process's manager ------------------------------------------------------------------- */

/* It needs no memory of its own, so it can always be made; a policy that there is no memory for is
 * told as one that is wrong. */
static roma_manager process_manager;
static _Atomic(bool) process_manager_is_made; /* release when made, acquire by who uses it */

/* Who runs the program says what it is routed by; who runs it with more rights than theirs (setuid)
 * is not asked. */
static void take_policy_of_environment(roma_manager *manager)
{
    const char *given = secure_getenv("ROMA_POLICY");
    roma_policy *policy = NULL;
    roma_error error;
    if (given == NULL || given[0] == '\0')
        return;
    int code = roma_policy_from(given, &policy, &error);
    if (code == 0)
        code = roma_manager_policy(manager, policy, &error);
    roma_policy_destroy(policy);
    if (code < 0) {
        char sentence[256];
        fprintf(stderr, "roma: ROMA_POLICY is ignored: %s\n",
                roma_error_text(&error, sentence, sizeof sentence));
    }
}

static void make_process_manager(void)
{
    roma_options options = roma_options_default();
    options.name = "default";
    /* Without memory for the handlers of fork() it works all the same, but not in children. */
    (void)roma__managers_watch_fork();
    int code = open_in(&process_manager, &options, NULL);
    roma_check(code == 0); /* these options are right, and it needs no memory */
    take_policy_of_environment(&process_manager);
    atomic_store_explicit(&process_manager_is_made, true, memory_order_release);
}

roma_manager *roma_default(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!atomic_load_explicit(&process_manager_is_made, memory_order_acquire))
        pthread_once(&once, make_process_manager);
    return &process_manager;
}

/* ---- empty ----------------------------------------------------------------------------------- */

struct survey {
    uint64_t blocks, bytes, registered;
};

static int survey_one(void *context, const roma__cell *cell)
{
    struct survey *survey = context;
    survey->blocks++;
    survey->bytes += roma__length_of(cell);
    survey->registered += (cell->flags & ROMA__CELL_REGISTERED) != 0;
    return 0;
}

static struct survey survey_of(roma_manager *manager)
{
    struct survey survey = {0};
    roma__manager_settle(manager);
    (void)roma__cells_each(manager, survey_one, &survey);
    return survey;
}

/* What a release would have done: guards are checked, and Valgrind's list of blocks loses those
 * that are about to vanish. */
static int take_leave(void *context, const roma__cell *cell)
{
    const roma_manager *manager = context;
    (void)roma__guard_check(cell, NULL);
    if (manager->under_tool)
        roma__tools_end(cell->address, cell->usable);
    return 0;
}

static void forget_blocks(roma_manager *manager)
{
    if (manager->under_tool || (manager->debug & ROMA_DEBUG_GUARDS) != 0)
        (void)roma__cells_each(manager, take_leave, manager);
    roma__notes_clear(&manager->notes);
}

int64_t roma_manager_clear(roma_manager *manager)
{
    if (manager == NULL)
        return -EINVAL;
    if (manager->store != NULL)
        return -EOPNOTSUPP; /* its blocks are not this process's alone */
    if (survey_of(manager).registered > 0)
        return -EBUSY;
    forget_blocks(manager);
    uint64_t freed = 0;
    ROMA__EACH_HEAP (manager, route) {
        freed += roma__heap_clear(route->heap);
    }
    return (int64_t)freed;
}

/* ---- unmake ---------------------------------------------------------------------------------- */

static void unmake(roma_manager *manager)
{
    if (manager->background)
        roma__background_leave(manager);
    roma__managers_remove(manager); /* fork() holds and frees the locks of those listed */
    forget_blocks(manager);
    (void)roma__heaps_close(manager);
    roma__plain_close(manager);
    close_in(manager);
    roma__record_free(manager, sizeof *manager);
}

static bool lists_leaks(const roma_manager *manager, const struct survey *survey)
{
    return survey->blocks > 0 && (manager->debug & ROMA_DEBUG_LEAKS) != 0;
}

/* Of those that roma_manager_create() made: others end with the process, or with their store. */
static bool can_end(const roma_manager *manager)
{
    return manager != NULL && manager != &process_manager && manager->store == NULL;
}

int roma_manager_destroy(roma_manager *manager)
{
    if (!can_end(manager))
        return -EINVAL;
    struct survey survey = survey_of(manager);
    if (lists_leaks(manager, &survey))
        roma__leaks_list(manager);
    if (survey.blocks > 0)
        return -EBUSY;
    unmake(manager);
    return 0;
}

int roma_manager_destroy_all(roma_manager *manager)
{
    if (!can_end(manager))
        return -EINVAL;
    struct survey survey = survey_of(manager);
    if (survey.registered > 0)
        return -EBUSY;
    if (lists_leaks(manager, &survey)) {
        roma__leaks_list(manager);
        roma__misuse_leak(manager, survey.blocks, survey.bytes);
    }
    unmake(manager);
    return 0;
}
