/* exam.c - see exam.h. The first thing that is wrong ends an exam. */
#include "exam.h"

#include "sandbox.h"
#include "scene.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool exam_is_thorough, exam_signs = true;

enum { USE_ROOT = 40 };

__attribute__((format(printf, 2, 3))) static bool fail(struct exam *exam, const char *text, ...)
{
    if (!exam->failed) {
        va_list arguments;
        va_start(arguments, text);
        (void)vsnprintf(exam->text, sizeof exam->text, text, arguments);
        va_end(arguments);
    }
    exam->failed = true;
    return false;
}

/* ---- the library's check --------------------------------------------------------------------- */

struct first_fault {
    roma_store_fault fault;
    char text[160];
};

static int keep_first(void *context, const roma_store_fault *fault)
{
    struct first_fault *first = context;
    if (first->fault.kind == 0) {
        first->fault = *fault;
        (void)snprintf(first->text, sizeof first->text, "%s", fault->text);
    }
    return 0;
}

static bool check(roma_store *store, const char *when, struct exam *exam)
{
    struct first_fault first = {0};
    int64_t faults = roma_store_check(store, keep_first, &first);
    if (faults == 0)
        return true;
    if (faults < 0)
        return fail(exam, "%s: the check cannot be made: %s", when, strerror((int)-faults));
    return fail(exam, "%s: %lld faults, the first at %llx: %s (expected %llx, found %llx)", when,
                (long long)faults, (unsigned long long)first.fault.offset, first.text,
                (unsigned long long)first.fault.expected, (unsigned long long)first.fault.found);
}

static bool account(roma_store *store, const char *when, struct exam *exam)
{
    oracle_take(&store->view, store->session, &exam->account);
    if (exam->account.faults != 0)
        return fail(exam, "%s: %llu faults of the account, the first: %s", when,
                    (unsigned long long)exam->account.faults, exam->account.first);
    return true;
}

static bool recover(roma_store *store, const char *when, struct exam *exam)
{
    int count = roma_store_recover(store);
    if (count < 0)
        return fail(exam, "%s: recovery failed: %s", when, strerror(-count));
    exam->recovered += count;
    return true;
}

/* ---- recovering again ------------------------------------------------------------------------ */

static bool recover_again(roma_store *store, struct exam *exam)
{
    size_t bytes = (size_t)(roma__view_units(&store->view) * ROMA__UNIT_BYTES);
    char *before = exam_is_thorough ? malloc(bytes) : NULL;
    if (before != NULL)
        memcpy(before, store->view.base, bytes);
    int count = roma_store_recover(store);
    if (count != 0)
        (void)fail(exam, "recovering once more returned %d", count);
    for (size_t i = 0; before != NULL && i < bytes; i += 8)
        if (memcmp(before + i, store->view.base + i, 8) != 0) {
            (void)fail(exam, "recovering once more changed the word at %zx", i);
            break;
        }
    free(before);
    return !exam->failed;
}

/* ---- using it -------------------------------------------------------------------------------- */

/* Was the block in use before? The oracle's account is asked through its words. */
static bool fill(roma_store *store, scene_thing *thing, uint64_t mark, struct exam *exam)
{
    if (thing == NULL)
        return errno == ENOSPC ? true : fail(exam, "no block: %s", strerror(errno));
    if (oracle_was_in_use(roma_ref_of(store, thing)))
        return fail(exam, "block %llx was in use and is given out again",
                    (unsigned long long)roma_ref_of(store, thing));
    thing->mark = mark;
    thing->check = scene_check_of(mark);
    return true;
}

static bool use(roma_store *store, struct exam *exam)
{
    enum { COUNT = 3 };
    scene_thing *things[COUNT] = {0};
    roma_store_request request = roma_store_request_of(SCENE_NODE_BYTES);
    request.refs_offset = offsetof(scene_thing, slots);
    request.refs_count = 2;
    roma_ref *root = roma_store_root(store, USE_ROOT);
    things[0] = roma_store_alloc(store, SCENE_SMALL_BYTES);
    things[1] = roma_store_alloc_with(store, &request);
    things[2] = roma_store_alloc(store, SCENE_LARGE_BYTES);
    for (unsigned i = 0; i < COUNT; i++)
        if (!fill(store, things[i], 1 + i, exam))
            return false;
    int code = 0;
    if (things[0] != NULL && things[1] != NULL) {
        code = roma_store_link(store, &things[1]->slots[0], things[0]);
        code = code < 0 ? code : roma_store_link(store, root, things[1]);
    }
    for (unsigned i = 0; i < COUNT && code == 0; i++)
        code = roma_store_release(store, things[i]);
    if (code == 0)
        code = roma_store_release_from(store, root);
    return code >= 0 ? true : fail(exam, "the store cannot be used: %s", strerror(-code));
}

static bool use_and_compare(roma_store *store, struct exam *exam)
{
    oracle_account before = exam->account;
    bool torn = false;
    if (!use(store, exam) || !check(store, "after use", exam) || !account(store, "after use", exam))
        return false;
    if (exam->account.blocks != before.blocks || exam->account.bytes != before.bytes)
        return fail(exam, "after use %llu blocks of %llu bytes, before %llu of %llu",
                    (unsigned long long)exam->account.blocks,
                    (unsigned long long)exam->account.bytes, (unsigned long long)before.blocks,
                    (unsigned long long)before.bytes);
    if (exam_signs && (oracle_signature(store, &torn) != exam->signature || torn))
        return fail(exam, "use of free blocks has changed the contents of others");
    return true;
}

/* ---- the exam -------------------------------------------------------------------------------- */

static bool examine(roma_store *store, struct exam *exam)
{
    bool torn = false;
    if (sandbox_alive != 0) {
        if (!recover(store, "with peers", exam) || !check(store, "with peers", exam))
            return false;
        sandbox_alive = 0;
    }
    if (!recover(store, "alone", exam) || !check(store, "alone", exam) ||
        !account(store, "alone", exam))
        return false;
    exam->signature = exam_signs ? oracle_signature(store, &torn) : 0;
    if (torn)
        return fail(exam, "a block that is named is not whole");
    return recover_again(store, exam) && use_and_compare(store, exam);
}

bool exam_file(int fd, struct exam *exam)
{
    memset(exam, 0, sizeof *exam);
    roma_store_options options = roma_store_options_default();
    options.label = "exam";
    options.unsynced = true;
    roma_store *store = NULL;
    roma_error error = {0};
    int code = roma_store_attach(fd, &options, &store, &error);
    if (code < 0) {
        char sentence[256];
        return fail(exam, "cannot attach: %s", roma_error_text(&error, sentence, sizeof sentence));
    }
    (void)examine(store, exam);
    code = roma_store_close(store);
    if (code < 0)
        (void)fail(exam, "cannot close: %s", strerror(-code));
    return !exam->failed;
}

bool exam_copy(int fd, uint64_t alive, struct exam *exam)
{
    sandbox_enter(fd, alive);
    (void)exam_file(fd, exam);
    sandbox_leave();
    return !exam->failed;
}
