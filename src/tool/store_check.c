/* store_check.c - `roma store check`: each thing that is wrong, and where in the file. */
#include "store.h"

#include <string.h>

static const char command_name[] = "store";

static const char *const kinds[] = {
    [ROMA_STORE_FAULT_SUPERBLOCK] = "superblock",
    [ROMA_STORE_FAULT_UNIT] = "unit",
    [ROMA_STORE_FAULT_MAP] = "map",
    [ROMA_STORE_FAULT_BLOCK] = "block",
    [ROMA_STORE_FAULT_COUNT] = "count",
    [ROMA_STORE_FAULT_LOST] = "lost",
    [ROMA_STORE_FAULT_SLOT] = "slot",
    [ROMA_STORE_FAULT_CELL] = "cell",
    [ROMA_STORE_FAULT_OWNER] = "owner",
    [ROMA_STORE_FAULT_LOCK] = "lock",
    [ROMA_STORE_FAULT_RECORD] = "record",
    [ROMA_STORE_FAULT_DIRECTORY] = "directory",
    [ROMA_STORE_FAULT_SESSION] = "session",
};

static const char *kind_text(roma_store_fault_kind kind)
{
    size_t index = (size_t)kind;
    return index < sizeof kinds / sizeof kinds[0] && kinds[index] != NULL ? kinds[index] : "other";
}

static int tell_fault(void *context, const roma_store_fault *fault)
{
    json *list = context;
    if (list != NULL) {
        json *map = json_map();
        json_put_text(map, "kind", kind_text(fault->kind));
        json_put_count(map, "offset", fault->offset);
        json_put_count(map, "expected", fault->expected);
        json_put_count(map, "found", fault->found);
        json_put_text(map, "text", fault->text);
        json_append(list, map);
        return 0;
    }
    printf("0x%llx: %s: %s", (unsigned long long)fault->offset, kind_text(fault->kind),
           fault->text);
    if (fault->expected != fault->found)
        printf(" (%llu expected, %llu found)", (unsigned long long)fault->expected,
               (unsigned long long)fault->found);
    putchar('\n');
    return 0;
}

int store_check(const store_words *words)
{
    roma_error error;
    json *list = words->as_json ? json_list() : NULL;
    int64_t faults = roma_store_check_file(words->path, tell_fault, list, &error);
    if (list != NULL) {
        json *map = json_map();
        json_put_flag(map, "sound", faults == 0);
        json_put_error(map, "error", faults < 0 ? &error : &(roma_error){0});
        json_put(map, "faults", list);
        json_print(map, stdout);
    }
    if (faults < 0)
        return store_fault(words->path, &error);
    if (list == NULL)
        printf("%s: %lld fault%s\n", words->path, (long long)faults, faults == 1 ? "" : "s");
    return finish_output(command_name, faults > 0 ? EXIT_FAULT : EXIT_GOOD);
}
