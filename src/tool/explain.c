/* explain.c - `roma explain`: what a request would get here, step by step, without doing it. */
#include "json.h"
#include "table.h"

#include <string.h>

typedef struct question {
    roma_request request;
    roma_policy *policy; /* NULL: as the process's manager does */
    bool as_json;
} question;

typedef struct answer {
    roma_grant grant;
    int rule; /* of the policy; -1: none */
} answer;

/* ---- arguments ------------------------------------------------------------------------------ */

static bool read_nodes(const char *command, const char *text, roma_request *request)
{
    if (roma_nodes_parse(text, &request->nodes) == 0 && !roma_nodes_is_empty(&request->nodes))
        return true;
    complain_misuse(command, "--node: '%s' is not a list of nodes such as 0 or 0-1,3", text);
    return false;
}

static bool read_pages(const char *command, const char *text, roma_request *request)
{
    if (roma_pages_parse(text, &request->pages) == 0)
        return true;
    complain_misuse(command,
                    "--pages: '%s' is not a list of at most %d of base, thp, thp:SIZE, hugetlb, "
                    "SIZE",
                    text, (int)ROMA_PAGE_KINDS_MAX);
    return false;
}

static bool read_align(const char *command, const char *text, roma_request *request)
{
    uint64_t align;
    if (!read_size(command, "--align", text, &align))
        return false;
    if (align == 0 || (align & (align - 1)) != 0 || align > (uint64_t)1 << 30) {
        complain_misuse(command, "--align: '%s' is not a power of two up to 1 GiB", text);
        return false;
    }
    request->align = (size_t)align;
    return true;
}

static bool read_bytes(const char *command, const char *text, roma_request *request)
{
    uint64_t size;
    if (!read_size(command, "SIZE", text, &size))
        return false;
    if (size > SIZE_MAX) {
        complain_misuse(command, "SIZE: '%s' is beyond this machine's addresses", text);
        return false;
    }
    request->bytes = (size_t)size;
    return true;
}

/* Read the word of one of the values below `count` that have one. */
static bool read_word(const char *command, const char *option, const char *text, unsigned count,
                      const char *(*word_of)(unsigned value), unsigned *value)
{
    char list[SENTENCE_BYTES] = "";
    size_t length = 0;
    for (*value = 0; *value < count; (*value)++) {
        const char *word = word_of(*value);
        if (word != NULL && strcmp(text, word) == 0)
            return true;
        if (word != NULL)
            length += (size_t)snprintf(list + length, sizeof list - length, "%s%s",
                                       length == 0 ? "" : ", ", word);
    }
    complain_misuse(command, "%s: '%s' is not one of %s", option, text, list);
    return false;
}

static const char *placement_word(unsigned value)
{
    return roma_placement_word((roma_placement)value);
}

static const char *lifetime_word(unsigned value)
{
    return roma_lifetime_word((roma_lifetime)value);
}

static const char *access_word(unsigned value)
{
    return roma_access_word((roma_access)value);
}

static bool read_placement(const char *command, const char *text, roma_request *request)
{
    unsigned value;
    bool good = read_word(command, "--placement", text, ROMA_PLACEMENTS_COUNT, placement_word,
                          &value);
    request->placement = good ? (roma_placement)value : ROMA_ANYWHERE;
    return good;
}

static bool read_lifetime(const char *command, const char *text, roma_request *request)
{
    unsigned value;
    bool good = read_word(command, "--lifetime", text, ROMA_LIFETIME_LONG + 1, lifetime_word,
                          &value);
    request->lifetime = good ? (roma_lifetime)value : ROMA_LIFETIME_UNKNOWN;
    return good;
}

static bool read_access(const char *command, const char *text, roma_request *request)
{
    unsigned value;
    bool good = read_word(command, "--access", text, ROMA_ACCESS_RARE + 1, access_word, &value);
    request->access = good ? (roma_access)value : ROMA_ACCESS_UNKNOWN;
    return good;
}

/* Options with a value. */
static bool read_option(const char *command, int option, const char *text, question *asked)
{
    roma_request *request = &asked->request;
    switch (option) {
    case 'p': return read_pages(command, text, request);
    case 'n': return read_nodes(command, text, request);
    case 'a': return read_align(command, text, request);
    case 'w': return read_placement(command, text, request);
    case 'i': return read_lifetime(command, text, request);
    case 'c': return read_access(command, text, request);
    case 'l': request->label = text; return true;
    case 'y':
        roma_policy_destroy(asked->policy); /* the last one counts */
        asked->policy = read_policy(command, text);
        return asked->policy != NULL;
    default: return false; /* next_option() has complained */
    }
}

static bool read_options(int argc, char **argv, question *asked)
{
    static const struct option options[] = {{"pages", required_argument, NULL, 'p'},
                                            {"node", required_argument, NULL, 'n'},
                                            {"align", required_argument, NULL, 'a'},
                                            {"strict", no_argument, NULL, 's'},
                                            {"policy", required_argument, NULL, 'y'},
                                            {"label", required_argument, NULL, 'l'},
                                            {"lifetime", required_argument, NULL, 'i'},
                                            {"access", required_argument, NULL, 'c'},
                                            {"shared", no_argument, NULL, 'h'},
                                            {"persistent", no_argument, NULL, 't'},
                                            {"placement", required_argument, NULL, 'w'},
                                            {"json", no_argument, NULL, 'j'},
                                            {0}};
    for (int option; (option = next_option(argc, argv, options)) != OPTIONS_END;)
        switch (option) {
        case 's': asked->request.strict = true; break;
        case 'h': asked->request.shared = true; break;
        case 't': asked->request.persistent = true; break;
        case 'j': asked->as_json = true; break;
        default:
            if (!read_option(argv[0], option, optarg, asked))
                return false;
        }
    return true;
}

static bool read_question(int argc, char **argv, question *asked)
{
    *asked = (question){.request = roma_request_default()};
    if (!read_options(argc, argv, asked))
        return false;
    if (asked->request.placement == ROMA_ANYWHERE && !roma_nodes_is_empty(&asked->request.nodes))
        asked->request.placement = ROMA_NODES;
    if (optind != argc - 1) {
        complain_misuse(argv[0], optind == argc ? "SIZE is missing" : "more than one SIZE");
        return false;
    }
    return read_bytes(argv[0], argv[optind], &asked->request);
}

/* ---- answers -------------------------------------------------------------------------------- */

static const char *nodes_text(const roma_nodes *nodes, char *text, size_t bytes)
{
    return roma_nodes_is_empty(nodes) ? "any" : roma_nodes_text(nodes, text, bytes);
}

/* How a step lays pages on its nodes; "" where it names none. */
static const char *spread_text(const roma_step *step)
{
    static const char *const words[] = {
        [ROMA_SPREAD_NONE] = "on",
        [ROMA_SPREAD_PREFER] = "prefer",
        [ROMA_SPREAD_INTERLEAVE] = "interleave",
        [ROMA_SPREAD_WEIGHTED] = "weighted",
    };
    return roma_nodes_is_empty(&step->nodes) ? "" : words[step->spread];
}

/* The first step that would work; steps_count when there is none. */
static unsigned taken_step(const roma_grant *grant)
{
    unsigned index = 0;
    while (index < grant->steps_count && grant->steps[index].error.code != 0)
        index++;
    return index;
}

static void print_steps(const roma_grant *grant, FILE *stream)
{
    static const char *const titles[] = {">step", "pages",    "spread",
                                         "nodes", "provider", "would work"};
    table t = table_of(titles, sizeof titles / sizeof titles[0]);
    for (unsigned i = 0; i < grant->steps_count; i++) {
        const roma_step *step = &grant->steps[i];
        char nodes[128], kind[WORD_BYTES];
        table_add(&t, "%u", i + 1);
        table_add(&t, "%s", roma_page_kind_text(step->pages, kind, sizeof kind));
        table_add(&t, "%s", spread_text(step));
        table_add(&t, "%s", nodes_text(&step->nodes, nodes, sizeof nodes));
        table_add(&t, "%s", step->provider);
        table_add(&t, "%s", step->error.code == 0 ? "yes" : "no");
    }
    table_print(&t, stream, 2);
}

static void print_reasons(const roma_grant *grant, FILE *stream)
{
    for (unsigned i = 0; i < grant->steps_count; i++) {
        char sentence[SENTENCE_BYTES], line[SENTENCE_BYTES + WORD_BYTES];
        if (grant->steps[i].error.code == 0)
            continue;
        snprintf(line, sizeof line, "Step %u would not: %s.", i + 1,
                 roma_error_text(&grant->steps[i].error, sentence, sizeof sentence));
        print_paragraph(stream, 0, line);
    }
}

/* A forecast for ordinary pages is about addresses, which the kernel gives freely; hugetlb pages
 * are there or not. */
static bool is_beyond_memory(const roma_request *request, const roma_grant *grant)
{
    roma_system_info system = {0};
    unsigned taken = taken_step(grant);
    if (taken == grant->steps_count || roma_topology_get() == NULL ||
        roma_page_class(grant->steps[taken].pages) == ROMA_PAGE_CLASS_HUGETLB)
        return false;
    roma_topology_system(roma_topology_get(), &system);
    return request->bytes > system.memory_available_bytes;
}

static void print_rule(const question *asked, int rule, FILE *stream)
{
    if (asked->policy != NULL && rule >= 0)
        fprintf(stream, "Rule %d of the policy decides.\n", rule + 1);
    else if (asked->policy != NULL)
        fputs("No rule of the policy decides.\n", stream);
}

static void print_answer(const question *asked, const answer *found, FILE *stream)
{
    const roma_request *request = &asked->request;
    const roma_grant *grant = &found->grant;
    char size[WORD_BYTES], kind[WORD_BYTES];
    roma_size_text(request->bytes, size, sizeof size);
    print_rule(asked, found->rule, stream);
    fprintf(stream, "A %srequest for %s, tried in this order:\n", request->strict ? "strict " : "",
            size);
    print_steps(grant, stream);
    print_reasons(grant, stream);
    unsigned taken = taken_step(grant);
    if (taken < grant->steps_count)
        fprintf(stream, "It would get %s pages, by step %u.\n",
                roma_page_kind_text(grant->steps[taken].pages, kind, sizeof kind), taken + 1);
    else
        fputs("It would fail: no step would work.\n", stream);
    if (is_beyond_memory(request, grant))
        fputs("That is more than the memory that is available: pages come as they are touched, and "
              "the\nkernel may kill programs when they run out.\n",
              stream);
}

static json *answer_json(const question *asked, const answer *found)
{
    const roma_request *request = &asked->request;
    const roma_grant *grant = &found->grant;
    json *map = json_map(), *steps = json_list();
    unsigned taken = taken_step(grant);
    bool works = taken < grant->steps_count;
    json_put_count(map, "bytes", request->bytes);
    json_put_flag(map, "strict", request->strict);
    if (found->rule >= 0)
        json_put_count(map, "rule", (uint64_t)found->rule + 1);
    else
        json_put(map, "rule", NULL);
    json_put_flag(map, "works", works);
    json_put_kind(map, "pages", works ? grant->steps[taken].pages : 0);
    if (works)
        json_put_count(map, "step", taken + 1);
    else
        json_put(map, "step", NULL);
    json_put_flag(map, "beyond_memory", is_beyond_memory(request, grant));
    for (unsigned i = 0; i < grant->steps_count; i++) {
        const roma_step *step = &grant->steps[i];
        json *entry = json_map();
        json_put_text(entry, "provider", step->provider);
        if (roma_nodes_is_empty(&step->nodes))
            json_put(entry, "spread", NULL);
        else
            json_put_text(entry, "spread", spread_text(step));
        json_put_nodes(entry, "nodes", &step->nodes);
        json_put_kind(entry, "pages", step->pages);
        json_put_count(entry, "page_bytes", roma_page_bytes(step->pages));
        json_put_flag(entry, "strict", step->strict);
        json_put_flag(entry, "works", step->error.code == 0);
        json_put_error(entry, "reason", &step->error);
        json_append(steps, entry);
    }
    json_put(map, "steps", steps);
    return map;
}

static int explain(const char *command, const question *asked)
{
    answer found = {.rule = -1};
    int code = asked->policy == NULL
                   ? roma_explain(roma_default(), &asked->request, &found.grant)
                   : roma_policy_explain(asked->policy, &asked->request, &found.grant, &found.rule);
    if (code != 0) {
        char sentence[SENTENCE_BYTES];
        if (found.grant.error.code == 0)
            found.grant.error.code = code;
        return complain_misuse(command, "%s",
                               roma_error_text(&found.grant.error, sentence, sizeof sentence));
    }
    if (asked->as_json)
        json_print(answer_json(asked, &found), stdout);
    else
        print_answer(asked, &found, stdout);
    bool works = taken_step(&found.grant) < found.grant.steps_count;
    return finish_output(command, works ? EXIT_GOOD : EXIT_FAULT);
}

int explain_command(int argc, char **argv)
{
    question asked;
    int status = read_question(argc, argv, &asked) ? explain(argv[0], &asked) : EXIT_MISUSE;
    roma_policy_destroy(asked.policy);
    return status;
}
