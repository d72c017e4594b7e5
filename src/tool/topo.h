/* topo.h - the two forms of `roma topo`. */
#ifndef ROMA_TOOL_TOPO_H
#define ROMA_TOOL_TOPO_H

#include "json.h"

void topo_print(const roma_topology *topology, FILE *stream);
json *topo_json(const roma_topology *topology);

/* A limit as a word: "memory", "huge pages in use", "huge pages reserved". */
const char *limit_kind_text(roma_limit_kind kind);

/* No pool of a node (-1: of the machine) of this size: false. */
bool find_pool(const roma_topology *topology, size_t page_bytes, int node, roma_pool_info *pool);

#endif
