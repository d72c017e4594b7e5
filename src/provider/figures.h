/* figures.h - the mapping core as a provider's functions, with figures: what the built-in providers
 * of anonymous memory have in common.
 *
 * Figures are independent counters: each is exact, a set of them not of one moment. In all
 * functions that a table may name, `self` is the provider's roma__provider_figures, or a struct
 * that begins with it. */
#ifndef ROMA_PROVIDER_FIGURES_H
#define ROMA_PROVIDER_FIGURES_H

#include <roma/provider.h>

#include <stdatomic.h>

/* All zero: a provider that has done nothing. */
typedef struct roma__provider_figures {
    _Atomic(uint64_t) live, bytes, acquisitions, failures;
    _Atomic(uint64_t) kind_bytes[UINT8_MAX + 1]; /* by page kind */
} roma__provider_figures;

/* Count a failure where the code is one; returns the code. */
int roma__figures_failed(roma__provider_figures *figures, int code);

int roma__figures_acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                          roma_error *error);
int roma__figures_release(void *self, const roma_extent *extent, roma_error *error);
int roma__figures_resize(void *self, roma_extent *extent, size_t bytes, bool may_move,
                         roma_error *error);
int roma__figures_populate(void *self, const roma_range *range,
                           const roma_populate_options *options, roma_error *error);
int roma__figures_advise(void *self, const roma_range *range, roma_advice advice,
                         const roma_executor *executor, roma_error *error);
int roma__figures_query(void *self, const roma_range *range, roma_report *report,
                        roma_error *error);
int roma__figures_migrate(void *self, const roma_range *range, const roma_nodes *nodes,
                          roma_migration *migration, roma_error *error);

/* "extents.live", "extents.bytes", "acquisitions.count", "failures.count", and "KIND-SIZE.bytes" of
 * each page kind that there are extents of. */
int roma__figures_stats(void *self, roma_visit visit, void *context);

#endif
