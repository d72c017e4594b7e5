/* grant.c - a grant as text: a line a step, then what was obtained or why nothing was. */
#include <roma/request.h>

#include "base/text.h"

#include <errno.h>

enum { LINE_BYTES = 512, SENTENCE_BYTES = 256, KIND_BYTES = 40, NODES_BYTES = 96 };

static void add_nodes(roma__text *line, const roma_nodes *nodes)
{
    char list[NODES_BYTES];
    if (roma_nodes_is_empty(nodes))
        roma__text_add(line, "any node");
    else
        roma__text_add(line, "node%s %s", roma_nodes_count(nodes) == 1 ? "" : "s",
                       roma_nodes_text(nodes, list, sizeof list));
}

/* Made by roma_explain(): some step would work, and nothing was obtained. */
static bool is_forecast(const roma_grant *grant)
{
    return grant->code == 0 && grant->bytes == 0;
}

static void add_step(roma__text *line, const roma_grant *grant, unsigned index)
{
    const roma_step *step = &grant->steps[index];
    char kind[KIND_BYTES], sentence[SENTENCE_BYTES];
    roma__text_add(line, "step %u: %s, %s pages, ", index + 1, step->provider,
                   roma_page_kind_text(step->pages, kind, sizeof kind));
    add_nodes(line, &step->nodes);
    if (step->strict)
        roma__text_add(line, ", strict");
    if (step->error.code != 0)
        roma__text_add(line, ": %s", roma_error_text(&step->error, sentence, sizeof sentence));
    else
        roma__text_add(line, ": %s",
                       is_forecast(grant) ? "would work"
                       : grant->reused    ? "gave it earlier"
                                          : "granted");
}

static void add_outcome(roma__text *line, const roma_grant *grant)
{
    char size[KIND_BYTES], kind[KIND_BYTES], sentence[SENTENCE_BYTES];
    if (grant->code != 0) {
        roma_error error = grant->error;
        if (error.code == 0)
            error.code = grant->code;
        roma__text_add(line, "nothing obtained: %s",
                       roma_error_text(&error, sentence, sizeof sentence));
        return;
    }
    roma_page_kind_text(grant->pages, kind, sizeof kind);
    if (is_forecast(grant))
        roma__text_add(line, "would be on %s pages, ", kind);
    else
        roma__text_add(line, "obtained %s on %s pages, ",
                       roma_size_text(grant->bytes, size, sizeof size), kind);
    add_nodes(line, &grant->nodes);
    if (grant->populated)
        roma__text_add(line, ", populated");
    if (grant->zeroed)
        roma__text_add(line, ", zeroed");
    if (grant->pinned)
        roma__text_add(line, ", pinned");
}

static int print_line(FILE *stream, const char *line)
{
    errno = 0;
    if (fprintf(stream, "%s\n", line) >= 0)
        return 0;
    return errno != 0 ? -errno : -EIO;
}

int roma_grant_print(FILE *stream, const roma_grant *grant)
{
    if (stream == NULL || grant == NULL)
        return -EINVAL;
    char buffer[LINE_BYTES];
    unsigned count = grant->steps_count < ROMA_STEPS_MAX ? grant->steps_count : ROMA_STEPS_MAX;
    for (unsigned i = 0; i < count; i++) {
        roma__text line = roma__text_in(buffer, sizeof buffer);
        add_step(&line, grant, i);
        int code = print_line(stream, buffer);
        if (code != 0)
            return code;
    }
    roma__text line = roma__text_in(buffer, sizeof buffer);
    add_outcome(&line, grant);
    return print_line(stream, buffer);
}
