/* store.c - fuzzes images of stores: attach, recover, check, use and close.
 *
 * A store is made once, with blocks of all kinds, slots, names, a session that was killed in the
 * middle, with its records, and a second one that lives. The input is a list of changes of eight
 * bytes or more each, that know the layout: which table, which entry, which word, how. Then both
 * superblocks get right checksums, unless the input says no, so that what lies behind is reached.
 * The image is opened in a sandbox (tests/crash/support/sandbox.h): what is done to it costs only
 * the pages that are touched, and all locks of the living session are held.
 *
 * Nothing may be read or written outside, nothing may abort or go on for ever. What calls return is
 * looked at only where it would be an address. */
#include "crash/support/sandbox.h"
#include "crash/support/scene.h"

#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- the image ------------------------------------------------------------------------------- */

enum { IMAGE_MAX = 4 << 20, LIVING_MAX = 64 };

static int image_fd = -1;
static char *image;            /* the file, mapped */
static char before[IMAGE_MAX]; /* and as it was made */
static size_t image_bytes;
static roma__view view;
static uint64_t living; /* sessions that seem to live */

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* A session that ends without closing: it holds blocks, and half of an operation. */
static void die(void)
{
    pid_t pid = fork();
    expect(pid >= 0);
    if (pid == 0) {
        struct scene scene = {.fd = image_fd, .process = 3};
        if (scene_attach(&scene) == 0)
            (void)scene_run(&scene, "load small node link-inner retain batch get large small");
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
}

static void make_image(void)
{
    roma_store_options made = roma_store_options_default();
    made.bytes = 12 * ROMA__UNIT_BYTES;
    made.max_bytes = 16 * ROMA__UNIT_BYTES;
    made.sessions = 6;
    made.lanes = 8;
    made.unsynced = true;
    struct scene scene = {0};
    expect(roma_store_create_memory("roma-fuzz", &made, &scene.store, NULL) == 0);
    image_fd = fcntl(roma_store_fd(scene.store), F_DUPFD_CLOEXEC, 3);
    expect(scene_run(&scene, "small node link-inner link large put into batch close") == 0);
    die();
    die();
    image_bytes = (size_t)lseek(image_fd, 0, SEEK_END);
    expect(image_bytes <= sizeof before);
    image = mmap(NULL, image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, image_fd, 0);
    expect(image != MAP_FAILED);
    roma__super super;
    roma__regions regions;
    unsigned index;
    expect(roma__super_choose(image, &super, &index, &regions) == 0);
    roma__view_fill(&view, image, image_bytes, -1, &regions);
    /* One of the two seems to live. The other one has a record that is valid, of an earlier time.
     * */
    for (uint32_t i = 0; i < regions.sessions && living == 0; i++)
        if (view.sessions[i].state != 0)
            living = UINT64_C(1) << i;
    memcpy(before, image, image_bytes);
}

/* ---- changes --------------------------------------------------------------------------------- */

struct input {
    const uint8_t *at, *end;
};

static uint64_t eat(struct input *input, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && input->at < input->end; i++)
        value |= (uint64_t)*input->at++ << (8 * i);
    return value;
}

enum table {
    SUPER,
    LIVE,
    ROOTS,
    NAMES,
    STRIPES,
    MAPS,
    SESSIONS,
    LANES,
    UNIT_MAPS,
    UNITS,
    BLOCK_WORDS,
    CONTENTS,
    TABLES_COUNT
};

/* The two words of a block of a slab, or anything in it. */
static uint64_t *block_word(uint64_t entry, uint64_t field)
{
    uint64_t units = view.regions.max_units - view.regions.first_unit;
    uint64_t unit = view.regions.first_unit + entry % units;
    uint64_t word = unit * ROMA__UNIT_BYTES < image_bytes ? view.units[unit].word : 0;
    if (!roma__unit_word_is_valid(&view, unit, word))
        return NULL;
    unsigned kind = roma__unit_kind(word);
    if (kind != ROMA__UNIT_SLAB && kind != ROMA__UNIT_LARGE)
        return NULL;
    uint32_t count = roma__block_count(word);
    roma__block block;
    roma__block_of_slab(&view, unit, word, (uint32_t)(field / 4 % count), &block);
    switch (field % 4) {
    case 0: return block.first;
    case 1: return block.second;
    case 2: return block.remote;
    default: return (uint64_t *)(image + block.ref) + 2; /* a slot of a node */
    }
}

static uint64_t *lane_word(uint64_t entry, uint64_t field)
{
    roma__lane *lane = &view.lanes[entry % view.regions.lanes];
    uint64_t *words = (uint64_t *)lane;
    switch (field % 4) {
    case 0: return &words[field / 4 % 3];
    case 1: return &lane->redo;
    case 2: return &lane->pairs[field / 8 % 16].location + (field / 4 & 1);
    default: return &words[field / 4 % (sizeof *lane / 8)];
    }
}

/* The word that is to be changed, or NULL. */
static uint64_t *place_of(enum table table, uint64_t entry, uint64_t field)
{
    switch (table) {
    case SUPER:
        return (uint64_t *)(image + (entry & 1) * ROMA__SUPER_BYTES) +
               field % (sizeof(roma__super) / 8);
    case LIVE: return (uint64_t *)view.live + field % (sizeof *view.live / 8);
    case ROOTS: return &view.roots[entry % ROMA__ROOTS_COUNT];
    case NAMES: return &view.names[(entry | field << 8) % ROMA__NAMES_COUNT];
    case STRIPES: return (uint64_t *)&view.stripes[(entry | field << 8) % ROMA__STRIPES_COUNT];
    case MAPS: return &view.maps[(entry | field << 8) % ROMA__MAPS_COUNT];
    case SESSIONS:
        return (uint64_t *)&view.sessions[entry % view.regions.sessions] +
               field % (sizeof *view.sessions / 8);
    case LANES: return lane_word(entry, field);
    case UNIT_MAPS:
        return (entry & 1) != 0   ? &view.free_bits[field % 2]
               : (entry & 2) != 0 ? &view.orphan_bits[field % 2]
                                  : &view.punched_bits[field % 2];
    case UNITS: return (uint64_t *)&view.units[entry % view.regions.max_units] + field % 8;
    case BLOCK_WORDS: return block_word(entry, field);
    case CONTENTS: return (uint64_t *)image + (entry << 16 | field) % (image_bytes / 8);
    default: return NULL;
    }
}

static uint64_t changed(uint64_t old, unsigned how, uint64_t value)
{
    switch (how % 6) {
    case 0: return value;
    case 1: return old ^ UINT64_C(1) << (value & 63);
    case 2: return old + value;
    case 3: return old - value;
    case 4: return (old & ~UINT64_C(0xffff)) | (value & 0xffff);
    default: /* one byte of eight */
        return (old & ~(UINT64_C(0xff) << (value >> 8 & 7) * 8)) | (value & 0xff)
                                                                       << (value >> 8 & 7) * 8;
    }
}

/* Returns whether the checksums are to be made right. */
static bool change_image(struct input *input)
{
    unsigned flags = (unsigned)eat(input, 1);
    while (input->at < input->end) {
        unsigned table = (unsigned)eat(input, 1), how = (unsigned)eat(input, 1);
        uint64_t entry = eat(input, 1), field = eat(input, 2);
        uint64_t value = eat(input, how & 0x80 ? 8 : 3);
        uint64_t *place = place_of(table % TABLES_COUNT, entry, field);
        if (place != NULL)
            *place = changed(*place, how & 0x7f, value);
    }
    return (flags & 1) == 0;
}

static void make_checksums_right(void)
{
    for (unsigned i = 0; i < 2; i++) {
        roma__super *super = (roma__super *)(image + i * ROMA__SUPER_BYTES);
        super->checksum = roma__checksum(super, offsetof(roma__super, checksum));
    }
}

static void restore_image(void)
{
    for (size_t at = 0; at < image_bytes; at += 4096)
        if (memcmp(image + at, before + at, 4096) != 0)
            memcpy(image + at, before + at, 4096);
}

/* ---- what is done to it ---------------------------------------------------------------------- */

static int visit_entry(void *context, const roma_store_entry *entry)
{
    *(size_t *)context += strlen(entry->name);
    return 0;
}

static int visit_session(void *context, const roma_store_session *session)
{
    *(size_t *)context += strlen(session->label);
    return 0;
}

static int visit_fault(void *context, const roma_store_fault *fault)
{
    *(size_t *)context += strlen(fault->text);
    return 0;
}

/* A living session that never lets go of a lock keeps others waiting for ever: it is killed. */
static void end_the_living(uint32_t session)
{
    static unsigned asked;
    if (++asked % 16 == 0)
        sandbox_alive &= ~(UINT64_C(1) << session);
}

static void use(roma_store *store)
{
    struct scene scene = {.store = store, .process = 5};
    static const char *const texts[] = {"load",          "load-inner", "small node link-inner",
                                        "relink",        "get",        "replace",
                                        "unlink",        "take",       "unlink-into",
                                        "remove",        "batch",      "large",
                                        "resize",        "into",       "grow",
                                        "release-batch", "trim",       "recover",
                                        "unlink",        "put"};
    size_t sum = 0;
    (void)roma_store_check(store, visit_fault, &sum);
    (void)roma_store_each(store, visit_entry, &sum);
    (void)roma_store_sessions(store, visit_session, &sum);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        (void)scene_run(&scene, texts[i]);
    (void)roma_store_recover(store);
    (void)roma_store_check(store, visit_fault, &sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (image == NULL)
        make_image();
    struct input input = {data, data + bytes};
    if (change_image(&input))
        make_checksums_right();
    sandbox_on_held = end_the_living;
    sandbox_enter(image_fd, living);
    roma_store *store = NULL;
    roma_error error = {0};
    char sentence[256];
    int code = roma_store_attach(image_fd, NULL, &store, &error);
    expect(code <= 0 && (code == 0) == (store != NULL));
    if (code < 0) {
        expect(strlen(roma_error_text(&error, sentence, sizeof sentence)) > 0);
    } else {
        use(store);
        (void)roma_store_close(store);
    }
    sandbox_leave();
    restore_image();
    return 0;
}
