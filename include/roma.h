/* roma.h - everything: reference-counted blocks from huge pages and chosen NUMA nodes.
 *
 *   roma/common.h    version, page kinds, sizes as text
 *   roma/nodes.h     sets of NUMA nodes
 *   roma/error.h     what went wrong and what to do
 *   roma/request.h   what a caller wants, and what it got
 *   roma/provider.h  sources of memory, and how to write one
 *   roma/prefetch.h  file mappings that are in memory before the program asks
 *   roma/topology.h  what this machine has
 *   roma/manager.h   managers
 *   roma/policy.h    rules that route requests
 *   roma/block.h     blocks, by pointer and by handle
 *   roma/cache.h     blocks from a thread's own cache, inline
 *   roma/segment.h   checked views of memory
 *   roma/store.h     blocks in a mapped file, shared by processes
 *   roma/visitor.h   statistics as typed keys and values */
#ifndef ROMA_H
#define ROMA_H

#include <roma/block.h>
#include <roma/cache.h>
#include <roma/common.h>
#include <roma/error.h>
#include <roma/manager.h>
#include <roma/nodes.h>
#include <roma/policy.h>
#include <roma/prefetch.h>
#include <roma/provider.h>
#include <roma/request.h>
#include <roma/segment.h>
#include <roma/store.h>
#include <roma/topology.h>
#include <roma/visitor.h>

#endif
