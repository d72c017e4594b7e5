/* run_json.c - what a program did with its memory, as one JSON object. The lines of the processes
 * are handed on as they were written, with what was not known left out. */
#include "run.h"

/* All on each node, and of them what pages of each size. */
static void put_nodes(json *map, const run_memory *m)
{
    json *nodes = json_list(), *pages = json_list();
    for (int node = 0; node < RUN_NODES_MAX; node++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < m->placed_count; i++) {
            const run_placed *placed = &m->placed[i];
            if (placed->node[node] == 0)
                continue;
            sum += placed->node[node];
            json *entry = json_map();
            json_put_count(entry, "page_bytes", placed->page_bytes);
            json_put_whole(entry, "node", node);
            json_put_count(entry, "count", placed->node[node] / placed->page_bytes);
            json_append(pages, entry);
        }
        if (sum == 0)
            continue;
        json *entry = json_map();
        json_put_whole(entry, "node", node);
        json_put_count(entry, "bytes", sum);
        json_append(nodes, entry);
    }
    json_put(map, "nodes", m->placed_count > 0 ? nodes : NULL);
    json_put(map, "pages", m->placed_count > 0 ? pages : NULL);
    if (m->placed_count == 0) {
        json_object_put(nodes);
        json_object_put(pages);
    }
}

static json *peak_json(const run_memory *m)
{
    json *map = json_map();
    json_put_figure(map, "seconds", m->seconds);
    json_put_count(map, "processes_count", m->processes_count);
    json_put_count(map, "resident_bytes", m->resident);
    json_put_count(map, "hugetlb_bytes", m->hugetlb);
    if (m->knows_rollup) {
        json_put_count(map, "anonymous_bytes", m->anonymous);
        json_put_count(map, "anonymous_huge_bytes", m->anonymous_huge);
        json_put_count(map, "file_huge_bytes", m->file_huge);
        json_put_count(map, "swapped_bytes", m->swapped);
    }
    uint64_t whole = m->anonymous + m->hugetlb;
    json_put_figure(map, "huge_coverage",
                    m->knows_rollup && whole > 0
                        ? (double)(m->anonymous_huge + m->hugetlb) / (double)whole
                        : -1);
    put_nodes(map, m);
    return map;
}

static json *line_json(const run_line *line)
{
    return line != NULL ? json_object_get(line->said) : NULL;
}

static void put_processes(json *map, const run_answer *answer)
{
    json *others = json_list(), *silent = json_list();
    const run_line *main_line = run_main_line(answer);
    for (size_t i = 0; i < answer->lines.count; i++)
        if (&answer->lines.lines[i] != main_line)
            json_append(others, line_json(&answer->lines.lines[i]));
    for (size_t i = 0; i < answer->sampler.seen_count; i++) {
        const run_process *seen = &answer->sampler.seen[i];
        if (!run_is_silent(answer, seen->pid))
            continue;
        json *entry = json_map();
        json_put_whole(entry, "pid", seen->pid);
        json_put_text(entry, "program", seen->program);
        json_append(silent, entry);
    }
    json_put(map, "main", line_json(main_line));
    json_put(map, "others", others);
    json_put(map, "silent", silent);
    json_put_count(map, "unreadable_lines_count", answer->lines.unreadable_count);
}

json *run_answer_json(const run_answer *answer)
{
    json *map = json_map(), *words = json_list(), *remarks = json_list();
    for (char **word = answer->plan->program; *word != NULL; word++)
        json_append(words, json_text(*word));
    for (unsigned i = 0; i < answer->remarks.count; i++)
        json_append(remarks, json_text(answer->remarks.text[i]));
    json_put(map, "program", words);
    json_put_text(map, "library", answer->plan->library);
    json_put_whole(map, "pid", answer->pid);
    if (answer->signal == 0)
        json_put_whole(map, "status", answer->status);
    else
        json_put(map, "status", NULL);
    if (answer->signal != 0)
        json_put_whole(map, "signal", answer->signal);
    else
        json_put(map, "signal", NULL);
    json_put(map, "remarks", remarks);
    json_put_figure(map, "seconds", answer->seconds);
    json_put_count(map, "minor_faults", answer->minor_faults);
    json_put_count(map, "major_faults", answer->major_faults);
    json_put_count(map, "largest_resident_bytes", answer->most_resident_bytes);
    json_put_count(map, "samples_count", answer->sampler.looks_count);
    json_put_count(map, "most_sampled_bytes", answer->sampler.most_bytes);
    json_put_figure(map, "sampling_seconds", (double)answer->sampler.spent_ns / 1e9);
    json_put(map, "peak",
             answer->sampler.close_looks_count > 0 ? peak_json(&answer->sampler.peak) : NULL);
    put_processes(map, answer);
    return map;
}
