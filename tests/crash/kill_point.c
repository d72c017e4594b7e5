/* kill_point.c - a kill at every named point of the store's sources, and at every one of recovery.
 *
 *     kill_point [--stride N] [--twice-stride N] [--setup NAME] [--word CALL,CALL,...]
 *
 * The sources of src/store are compiled into this program once more with a call at each point
 * (store/points.h). A child runs a word of calls (support/scene.h) and records which points its
 * last call, or attaching, passes; then one child after the other dies by SIGKILL at the first of
 * them, the second, and so on, and an exam (support/exam.h) is held on what it left.
 *
 * Crash inside recovery: what one of them left is kept. A second process attaches and recovers, and
 * dies at the m-th point on its way; a third one the same at another point; the living peer of the
 * setup allocates and releases meanwhile. Then the exam. This is done for the first kill at each
 * point, and then for every --twice-stride-th.
 *
 * A point of the sources at which nothing was killed fails the run.
 *
 * Here are the words; how they are killed is in kill_point/. */
#include "kill_point/kill.h"

#include "support/stall.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORD_BYTES = 100 };

static struct {
    unsigned long stride;
    const char *setup, *word;
} options = {.stride = 1};

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_chosen(const char *before, const char *last)
{
    static unsigned long number;
    char text[WORD_BYTES];
    (void)snprintf(text, sizeof text, "%s%s%s", before, before[0] != '\0' ? "," : "", last);
    if (options.word != NULL)
        return strcmp(text, options.word) == 0;
    return before[0] == '\0' || number++ % options.stride == 0; /* words of one call always */
}

static void run_words(struct world *world, const char *before)
{
    for (unsigned i = 0; i < scene_calls_count; i++) {
        struct kill_run run = {.world = world, .before = before, .last = scene_calls[i].name};
        if (is_chosen(before, run.last))
            kill_everywhere(world, &run);
    }
}

static void run_setup(const struct setup *setup)
{
    struct world world;
    if (world_make(&world, setup) < 0) {
        kill_figures.violations++;
        return;
    }
    struct kill_run attach = {.world = &world, .before = "", .last = NULL};
    if (is_chosen("", ""))
        kill_everywhere(&world, &attach);
    run_words(&world, "");
    for (unsigned i = 0; i < scene_calls_count; i++)
        run_words(&world, scene_calls[i].name);
    world_end(&world);
}

/* ---- sentences ------------------------------------------------------------------------------- */

/* Longer words, for points that short ones do not come to. */
static const struct sentence {
    const char *setup, *before, *last;
} sentences[] = {
    {"many", "", "load-many"},
    {"many", "load-many", "close"},
    {"many", "", "drop-many"},
    {"many", "load-many", "drop-many"},
    {"shrinks", "get,take", "close"},
    {"shrinks", "small,link,trim", "close"},
    {"empty", "small,retain", "release"},
    {"empty", "small,link", "release"},
    {"empty", "small", "shorten"},
    {"empty", "large", "shorten"},
    {"empty", "large", "resize"},
    {"empty", "large,resize", "release"},
    {"empty", "trim", "large"},
    {"empty", "large,release,trim", "grow"},
    {"empty", "small,link,release,elsewhere", "batch"},
    {"empty", "small,link,release,elsewhere", "trim"},
    {"empty", "small,link,release,elsewhere", "close"},
    {"empty", "batch,small,node,link-inner,link,release-batch,elsewhere", "trim"},
    {"empty", "small,node,link-inner,link,release-batch,elsewhere", "close"},
    {"orphans", "load", "retain"},
    {"orphans", "load,retain", "retain"},
    {"orphans", "load,retain", "release"},
    {"orphans", "load", "load"},
    {"orphans", "load,load", "release-batch"},
    {"orphans", "load,get,load-inner", "close"},
    {"orphans", "load,node", "release-batch"},
    {"holder-lives", "load,node,link-inner", "release-batch"},
    {"owner-lives", "load,load", "release-batch"},
    {"owner-lives", "load,load", "relink"},
};

static const struct setup *find_setup(const char *name)
{
    for (unsigned i = 0; i < setups_count; i++)
        if (strcmp(setups[i].name, name) == 0)
            return &setups[i];
    return strcmp(name, setup_many.name) == 0 ? &setup_many : &setup_shrinks;
}

static void run_sentences(void)
{
    for (unsigned i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        const struct sentence *sentence = &sentences[i];
        struct world world;
        if (world_make(&world, find_setup(sentence->setup)) < 0) {
            kill_figures.violations++;
            continue;
        }
        struct kill_run run = {.world = &world, .before = sentence->before, .last = sentence->last};
        kill_everywhere(&world, &run);
        world_end(&world);
    }
}

/* ---- options --------------------------------------------------------------------------------- */

static void usage(void)
{
    (void)fputs("kill_point [--stride N] [--twice-stride N] [--setup NAME] "
                "[--word CALL,CALL]\n",
                stderr);
    exit(2);
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {{"stride", required_argument, NULL, 's'},
                                          {"twice-stride", required_argument, NULL, 't'},
                                          {"setup", required_argument, NULL, 'S'},
                                          {"word", required_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;)
        switch (option) {
        case 's': options.stride = strtoul(optarg, NULL, 10); break;
        case 't': kill_twice_stride = strtoul(optarg, NULL, 10); break;
        case 'S': options.setup = optarg; break;
        case 'w': options.word = optarg; break;
        default: usage();
        }
    if (optind != count || options.stride == 0)
        usage();
}

/* ---- the whole ------------------------------------------------------------------------------- */

int main(int count, char **arguments)
{
    read_options(count, arguments);
    if (!points_share())
        return 1;
    stall_watch();
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    world_renews_peer = true;
    struct timespec begin, end;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < setups_count; i++)
        if (options.setup == NULL || strcmp(options.setup, setups[i].name) == 0)
            run_setup(&setups[i]);
    bool is_whole = options.setup == NULL && options.word == NULL;
    if (is_whole) {
        run_sentences();
        kill_makings();
    }
    unsigned known = 0, missed = is_whole ? points_check_sources(&known) : 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    (void)printf(
        "kill_point: %u points, %u never hit, %llu words, %llu kills, %llu kills of "
        "recoveries, %llu violations, %llu leaked bytes, %lld s\n",
        known, missed, (unsigned long long)kill_figures.words,
        (unsigned long long)kill_figures.kills, (unsigned long long)kill_figures.double_kills,
        (unsigned long long)kill_figures.violations, (unsigned long long)kill_figures.lost_bytes,
        (long long)(end.tv_sec - begin.tv_sec));
    return kill_figures.violations != 0 || missed != 0 || kill_figures.kills == 0;
}
