/* store.c - `roma store`: its words, and those of them that need few lines. */
#include "store.h"

#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char command_name[] = "store";

int store_fault(const char *path, const roma_error *error)
{
    char sentence[SENTENCE_BYTES];
    return complain(command_name, "%s: %s", path,
                    roma_error_text(error, sentence, sizeof sentence));
}

const char *store_ref_text(roma_ref ref, char text[WORD_BYTES])
{
    snprintf(text, WORD_BYTES, "0x%llx", (unsigned long long)ref);
    return text;
}

roma_store *store_open(const store_words *words, bool writable)
{
    roma_store_options options = roma_store_options_default();
    roma_store *store = NULL;
    roma_error error;
    options.read_only = !writable;
    options.label = "roma store";
    if (roma_store_open(words->path, &options, &store, &error) == 0)
        return store;
    store_fault(words->path, &error);
    return NULL;
}

/* ---- create ---------------------------------------------------------------------------------- */

static int store_create(const store_words *words)
{
    roma_store_options options = words->making;
    roma_store *store = NULL;
    roma_error error;
    options.size = sizeof options;
    options.label = "roma store";
    if (roma_store_create(words->path, &options, &store, &error) < 0)
        return store_fault(words->path, &error);
    int code = roma_store_close(store);
    if (code < 0)
        return complain(command_name, "%s: it was made, but not written out (%s)", words->path,
                        strerror(-code));
    return EXIT_GOOD;
}

/* ---- ls -------------------------------------------------------------------------------------- */

typedef struct listing {
    roma_store *store;
    table rows;
    json *list;
} listing;

static void list_one(listing *to, const char *name, roma_ref ref, uint64_t bytes,
                     const uint64_t *type)
{
    char text[WORD_BYTES], size[WORD_BYTES];
    if (to->list != NULL) {
        json *map = json_map();
        json_put_text(map, "name", name);
        json_put_count(map, "ref", ref);
        json_put_count(map, "bytes", bytes);
        json_put(map, "type", type != NULL ? json_object_new_uint64(*type) : NULL);
        json_append(to->list, map);
        return;
    }
    table_add(&to->rows, "%s", name);
    if (type != NULL)
        table_add(&to->rows, "%llu", (unsigned long long)*type);
    else
        table_add(&to->rows, "%s", "");
    table_add(&to->rows, "%s", roma_size_text(bytes, size, sizeof size));
    table_add(&to->rows, "%s", store_ref_text(ref, text));
}

static int list_entry(void *context, const roma_store_entry *entry)
{
    list_one(context, entry->name, entry->ref, entry->bytes, &entry->type);
    return 0;
}

static void list_roots(listing *to)
{
    for (unsigned i = 0; i < ROMA_STORE_ROOTS; i++) {
        char name[WORD_BYTES];
        const roma_ref *root = roma_store_root(to->store, i);
        roma_ref ref = root != NULL ? *root : 0;
        if (ref == 0)
            continue;
        snprintf(name, sizeof name, "(root %u)", i);
        list_one(to, name, ref, roma_store_bytes(to->store, roma_ref_at(to->store, ref)), NULL);
    }
}

static int store_list(const store_words *words)
{
    static const char *const titles[] = {"name", ">type", ">length", "ref"};
    listing to = {.store = store_open(words, false), .rows = table_of(titles, 4)};
    if (to.store == NULL)
        return EXIT_FAULT;
    to.list = words->as_json ? json_list() : NULL;
    list_roots(&to);
    int code = roma_store_each(to.store, list_entry, &to);
    (void)roma_store_close(to.store);
    if (code < 0)
        complain(command_name, "%s: the directory cannot be read to its end (%s)", words->path,
                 code == -EUCLEAN ? "it is damaged; `roma store check` tells more"
                                  : strerror(-code));
    if (to.list != NULL)
        json_print(to.list, stdout);
    else if (to.rows.cells_count > 0)
        table_print(&to.rows, stdout, 0);
    return finish_output(command_name, code < 0 ? EXIT_FAULT : EXIT_GOOD);
}

/* ---- checkpoint and restore ------------------------------------------------------------------ */

static int store_checkpoint(const store_words *words)
{
    roma_store *store = store_open(words, true);
    if (store == NULL)
        return EXIT_FAULT;
    roma_store_checkpoint_options options = {.size = sizeof options,
                                             .timeout_ns = words->timeout_ms * 1000000,
                                             .copy = words->copy,
                                             .stay_shared = words->stay_shared};
    roma_error error;
    int code = roma_store_checkpoint(store, words->checkpoint, &options, &error);
    (void)roma_store_close(store);
    return code < 0 ? store_fault(words->path, &error) : EXIT_GOOD;
}

static int store_restore(const store_words *words)
{
    roma_error error;
    int code = roma_store_restore(words->path, words->checkpoint, &error);
    return code < 0 ? store_fault(words->path, &error) : EXIT_GOOD;
}

/* ---- the command line ------------------------------------------------------------------------ */

enum { JSON = 1, BYTES, MAX, MODE, SESSIONS, LANES, COPY, STAY, TIMEOUT, RECOVER, CONTENTS };

#define BIT(option) (1u << (option))

static const struct option options[] = {{"json", no_argument, NULL, JSON},
                                        {"bytes", required_argument, NULL, BYTES},
                                        {"max", required_argument, NULL, MAX},
                                        {"mode", required_argument, NULL, MODE},
                                        {"sessions", required_argument, NULL, SESSIONS},
                                        {"lanes", required_argument, NULL, LANES},
                                        {"copy", no_argument, NULL, COPY},
                                        {"stay-shared", no_argument, NULL, STAY},
                                        {"timeout", required_argument, NULL, TIMEOUT},
                                        {"recover", no_argument, NULL, RECOVER},
                                        {"contents", no_argument, NULL, CONTENTS},
                                        {0}};

static const struct word {
    const char *name;
    int (*run)(const store_words *words);
    unsigned options; /* that it takes       */
    int most;         /* arguments at most   */
} words_known[] = {
    {"create", store_create, BIT(BYTES) | BIT(MAX) | BIT(MODE) | BIT(SESSIONS) | BIT(LANES), 1},
    {"info", store_info, BIT(JSON), 1},
    {"ls", store_list, BIT(JSON), 1},
    {"check", store_check, BIT(JSON), 1},
    {"dump", store_dump, BIT(CONTENTS), 1},
    {"sessions", store_sessions, BIT(JSON) | BIT(RECOVER), 1},
    {"checkpoint", store_checkpoint, BIT(COPY) | BIT(STAY) | BIT(TIMEOUT), 2},
    {"restore", store_restore, 0, 2},
};
enum { WORDS_COUNT = sizeof words_known / sizeof words_known[0] };

static bool read_mode(const char *text, uint32_t *mode)
{
    char *end;
    unsigned long value = strtoul(text, &end, 8);
    if (text[0] < '0' || text[0] > '7' || *end != '\0' || value == 0 || value > 0777) {
        complain_misuse(command_name, "--mode: '%s' is not octal permission bits such as 640",
                        text);
        return false;
    }
    *mode = (uint32_t)value;
    return true;
}

static bool read_value(int option, store_words *words)
{
    unsigned count = 0;
    switch (option) {
    case JSON: words->as_json = true; return true;
    case BYTES: return read_size(command_name, "--bytes", optarg, &words->making.bytes);
    case MAX: return read_size(command_name, "--max", optarg, &words->making.max_bytes);
    case MODE: return read_mode(optarg, &words->making.mode);
    case SESSIONS:
        return read_count(command_name, "--sessions", optarg, 4096, &words->making.sessions);
    case LANES: return read_count(command_name, "--lanes", optarg, 32768, &words->making.lanes);
    case COPY: words->copy = true; return true;
    case STAY: words->stay_shared = true; return true;
    case TIMEOUT:
        if (!read_count(command_name, "--timeout", optarg, 1000000000, &count))
            return false;
        words->timeout_ms = count;
        return true;
    case RECOVER: words->recover = true; return true;
    default: words->contents = true; return true;
    }
}

static bool read_words(int argc, char **argv, const struct word *word, store_words *words)
{
    for (int option; (option = next_option(argc, argv, options)) != OPTIONS_END;) {
        if (option == OPTIONS_WRONG)
            return false;
        if ((word->options & BIT(option)) == 0) {
            complain_misuse(command_name, "%s does not take this option: %s", word->name,
                            argv[optind - 1]);
            return false;
        }
        if (!read_value(option, words))
            return false;
    }
    int count = argc - optind;
    if (count < 1 || count > word->most) {
        complain_misuse(command_name, "%s: %s", word->name,
                        count < 1 ? "the path of a store is missing" : "too many arguments");
        return false;
    }
    words->path = argv[optind];
    words->checkpoint = count > 1 ? argv[optind + 1] : NULL;
    return true;
}

int store_command(int argc, char **argv)
{
    const struct word *word = NULL;
    for (size_t i = 0; i < WORDS_COUNT && argc > 1; i++)
        if (strcmp(argv[1], words_known[i].name) == 0)
            word = &words_known[i];
    if (word == NULL && argc > 1)
        return complain_misuse(command_name, "there is no word '%s'", argv[1]);
    if (word == NULL)
        return complain_misuse(command_name, "what to do with which store is missing");
    store_words words = {.making = roma_store_options_default()};
    argv[1] = argv[0]; /* options follow the word */
    if (!read_words(argc - 1, argv + 1, word, &words))
        return EXIT_MISUSE;
    return word->run(&words);
}
