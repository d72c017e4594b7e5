/* explain.c - `roma explain`: what a request would get here, step by step, without doing it. */
#include "json.h"
#include "table.h"

#include <string.h>

typedef struct question {
    roma_request request;
    bool as_json;
} question;

/* ---- arguments ------------------------------------------------------------------------------ */

static bool read_nodes(const char *command, const char *text, roma_request *request)
{
    request->placement = ROMA_NODES;
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

static bool read_question(int argc, char **argv, question *asked)
{
    static const struct option options[] = {
        {"pages", required_argument, NULL, 'p'}, {"node", required_argument, NULL, 'n'},
        {"align", required_argument, NULL, 'a'}, {"strict", no_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},        {0}};
    asked->request = roma_request_default();
    asked->as_json = false;
    for (int option; (option = next_option(argc, argv, options)) != OPTIONS_END;) {
        bool good = option != OPTIONS_WRONG;
        if (option == 'p')
            good = read_pages(argv[0], optarg, &asked->request);
        else if (option == 'n')
            good = read_nodes(argv[0], optarg, &asked->request);
        else if (option == 'a')
            good = read_align(argv[0], optarg, &asked->request);
        else if (option == 's')
            asked->request.strict = true;
        else if (option == 'j')
            asked->as_json = true;
        if (!good)
            return false;
    }
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
    static const char *const titles[] = {">step", "pages", "nodes", "provider", "would work"};
    table t = table_of(titles, 5);
    for (unsigned i = 0; i < grant->steps_count; i++) {
        const roma_step *step = &grant->steps[i];
        char nodes[128], kind[WORD_BYTES];
        table_add(&t, "%u", i + 1);
        table_add(&t, "%s", roma_page_kind_text(step->pages, kind, sizeof kind));
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

static void print_answer(const roma_request *request, const roma_grant *grant, FILE *stream)
{
    char size[WORD_BYTES], kind[WORD_BYTES];
    roma_size_text(request->bytes, size, sizeof size);
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

static json *answer_json(const roma_request *request, const roma_grant *grant)
{
    json *map = json_map(), *steps = json_list();
    unsigned taken = taken_step(grant);
    bool works = taken < grant->steps_count;
    json_put_count(map, "bytes", request->bytes);
    json_put_flag(map, "strict", request->strict);
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

int explain_command(int argc, char **argv)
{
    question asked;
    if (!read_question(argc, argv, &asked))
        return EXIT_MISUSE;
    roma_grant grant;
    int code = roma_explain(roma_default(), &asked.request, &grant);
    if (code != 0) {
        char sentence[SENTENCE_BYTES];
        if (grant.error.code == 0)
            grant.error.code = code;
        return complain_misuse(argv[0], "%s",
                               roma_error_text(&grant.error, sentence, sizeof sentence));
    }
    if (asked.as_json)
        json_print(answer_json(&asked.request, &grant), stdout);
    else
        print_answer(&asked.request, &grant, stdout);
    bool works = taken_step(&grant) < grant.steps_count;
    return finish_output(argv[0], works ? EXIT_GOOD : EXIT_FAULT);
}
