/* reserve.h - huge pages reserved for the length of a tour, and given back whatever ends it. */
#ifndef ROMA_TOOL_RESERVE_H
#define ROMA_TOOL_RESERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was done; counts in pages of the pool's persistent part (what nr_hugepages is set to). */
typedef struct reservation {
    bool wanted;            /* --reserve was given                                       */
    size_t page_bytes;
    int node;               /* whose pool; -1: the machine's                             */
    uint64_t needed_pages;  /* free pages that the tour can use                          */
    uint64_t before, during, after;
    int code;               /* 0, or -errno: nothing could be changed                    */
    bool added_nothing;     /* enough pages were free already                            */
    bool put_back;          /* `after` is what it should be                              */
} reservation;

/* Make the pool of pages of page_bytes have needed_pages free ones, as far as the kernel can.
 *
 *  node  the node whose part of the pool is meant; -1: the machine's
 *  Fills *r; r->code is -EACCES and the like where that is not permitted, and nothing is changed.
 *  Call while the program has one thread. One reservation at a time. */
void reserve_pages(reservation *r, size_t page_bytes, int node, uint64_t needed_pages);

/* Put the reservation back and fill r->after and r->put_back. Nothing when none was made. */
void reserve_put_back(reservation *r);

#endif
