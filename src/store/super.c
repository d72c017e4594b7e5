/* super.c - the superblock: where regions lie, whether a copy is whole, and which of two counts.
 *
 * Nothing here touches a file. A superblock is judged as a value: first what it is (magic, byte
 * order, version, features), then whether it is whole (checksum), then whether its figures are
 * possible. The places of regions are computed from the figures that cannot lie (how many sessions,
 * lanes and units) and only compared with what the superblock says. */
#include "base/bits.h"
#include "store/view.h"

#include <errno.h>
#include <string.h>

enum { REGION_ALIGN = 65536 };

/* ---- regions --------------------------------------------------------------------------------- */

/* `max_units` counts the whole file here. */
static void place(roma__regions *regions)
{
    uint64_t at = ROMA__AT_SESSIONS + (uint64_t)regions->sessions * sizeof(roma__session);
    regions->lanes_at = roma__align_up(at, REGION_ALIGN);
    at = regions->lanes_at + (uint64_t)regions->lanes * sizeof(roma__lane);
    regions->unit_maps_at = roma__align_up(at, REGION_ALIGN);
    regions->unit_map_bytes = roma__align_up((regions->max_units + 7) / 8, REGION_ALIGN);
    regions->unit_table_at = regions->unit_maps_at + 3 * regions->unit_map_bytes;
    at = regions->unit_table_at + regions->max_units * sizeof(roma__unit);
    regions->first_unit = roma__align_up(at, ROMA__UNIT_BYTES) / ROMA__UNIT_BYTES;
}

static bool figures_are_possible(uint32_t sessions, uint32_t lanes, uint64_t max_units)
{
    return sessions >= 1 && sessions <= ROMA__SESSIONS_MAX && lanes >= 1 &&
           lanes <= ROMA__LANES_MAX && max_units >= 1 && max_units <= ROMA__STORE_UNITS_MAX;
}

int roma__regions_of(uint32_t sessions, uint32_t lanes, uint64_t room_units, roma__regions *regions)
{
    if (!figures_are_possible(sessions, lanes, room_units))
        return -EINVAL;
    regions->sessions = sessions;
    regions->lanes = lanes;
    regions->max_units = room_units;
    place(regions);
    /* The tables describe themselves, too: grow the whole until the room is what was asked. */
    while (regions->max_units < regions->first_unit + room_units) {
        regions->max_units = regions->first_unit + room_units;
        place(regions);
    }
    return regions->max_units <= ROMA__STORE_UNITS_MAX ? 0 : -EINVAL;
}

/* ---- judging --------------------------------------------------------------------------------- */

/* FNV-1a over words, with a final mix: it is to notice damage, not malice. */
uint64_t roma__checksum(const void *bytes, size_t count)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) {
        sum ^= at[i];
        sum *= UINT64_C(0x100000001b3);
    }
    return sum ^ sum >> 29;
}

static bool is_whole(const roma__super *super)
{
    return super->checksum == roma__checksum(super, offsetof(roma__super, checksum));
}

int roma__super_judge(const roma__super *super, roma__regions *regions)
{
    if (super->magic != ROMA__STORE_MAGIC || super->byte_order != ROMA__STORE_BYTE_ORDER ||
        (super->features & ROMA__FEATURE_LITTLE_ENDIAN) == 0)
        return -EMEDIUMTYPE;
    if (super->version != ROMA__STORE_VERSION ||
        (super->features & ~(uint64_t)ROMA__FEATURES_KNOWN) != 0)
        return is_whole(super) || super->version > ROMA__STORE_VERSION ? -EPROTONOSUPPORT
                                                                       : -EUCLEAN;
    if (super->super_bytes != sizeof *super || !is_whole(super))
        return -EUCLEAN;
    if (!figures_are_possible(super->sessions, super->lanes, super->max_units))
        return -EUCLEAN;
    roma__regions own = {
        .sessions = super->sessions, .lanes = super->lanes, .max_units = super->max_units};
    place(&own);
    uint32_t page_bytes = super->page_bytes;
    if (own.first_unit >= own.max_units || super->sessions_at != ROMA__AT_SESSIONS ||
        super->lanes_at != own.lanes_at || super->unit_maps_at != own.unit_maps_at ||
        super->unit_map_bytes != own.unit_map_bytes || super->unit_table_at != own.unit_table_at ||
        super->first_unit != own.first_unit || super->committed_units <= own.first_unit ||
        super->committed_units > own.max_units || !roma__is_power_of_two(page_bytes) ||
        page_bytes < 4096 || page_bytes > (1u << 30))
        return -EUCLEAN;
    *regions = own;
    return 0;
}

int roma__super_choose(const void *first_bytes, roma__super *out, unsigned *index,
                       roma__regions *regions)
{
    roma__super copies[2];
    roma__regions places[2];
    memcpy(&copies[0], (const char *)first_bytes + ROMA__AT_SUPER_A, sizeof copies[0]);
    memcpy(&copies[1], (const char *)first_bytes + ROMA__AT_SUPER_B, sizeof copies[1]);
    int codes[2] = {roma__super_judge(&copies[0], &places[0]),
                    roma__super_judge(&copies[1], &places[1])};
    unsigned better = 0;
    /* One of a newer roma says no less than one of ours: where it is the later one, it counts. */
    bool counts[2] = {codes[0] == 0 || codes[0] == -EPROTONOSUPPORT,
                      codes[1] == 0 || codes[1] == -EPROTONOSUPPORT};
    if (counts[0] && counts[1])
        better = copies[1].generation > copies[0].generation;
    else if (counts[1] || (!counts[0] && codes[0] == -EMEDIUMTYPE && codes[1] != -EMEDIUMTYPE))
        better = 1;
    *out = copies[better];
    *index = better;
    if (codes[better] == 0)
        *regions = places[better];
    return codes[better];
}
