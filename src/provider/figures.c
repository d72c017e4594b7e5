/* figures.c - see figures.h. */
#include "provider/figures.h"

#include "base/text.h"
#include "provider/mapping.h"

/* ---- counting ------------------------------------------------------------------------------- */

static void add(_Atomic(uint64_t) *figure, uint64_t amount)
{
    atomic_fetch_add_explicit(figure, amount, memory_order_relaxed);
}

static uint64_t read_figure(_Atomic(uint64_t) *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

/* Also backwards: 0 - bytes. */
static void count_bytes(roma__provider_figures *figures, const roma_extent *extent, uint64_t bytes)
{
    add(&figures->bytes, bytes);
    add(&figures->kind_bytes[extent->pages], bytes);
}

int roma__figures_failed(roma__provider_figures *figures, int code)
{
    if (code < 0)
        add(&figures->failures, 1);
    return code;
}

/* ---- functions of a table ------------------------------------------------------------------- */

int roma__figures_acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                          roma_error *error)
{
    roma__provider_figures *figures = self;
    int code = roma__mapping_obtain(request, extent, error);
    if (code < 0)
        return roma__figures_failed(figures, code);
    add(&figures->acquisitions, 1);
    add(&figures->live, 1);
    count_bytes(figures, extent, extent->bytes);
    return 0;
}

int roma__figures_release(void *self, const roma_extent *extent, roma_error *error)
{
    roma__provider_figures *figures = self;
    int code = roma__mapping_return(extent, error);
    if (code < 0)
        return roma__figures_failed(figures, code);
    add(&figures->live, (uint64_t)0 - 1);
    count_bytes(figures, extent, (uint64_t)0 - extent->bytes);
    return 0;
}

int roma__figures_resize(void *self, roma_extent *extent, size_t bytes, bool may_move,
                         roma_error *error)
{
    roma__provider_figures *figures = self;
    size_t before = extent->bytes;
    int code = roma__mapping_resize(extent, bytes, may_move, error);
    if (code < 0)
        return roma__figures_failed(figures, code);
    count_bytes(figures, extent, (uint64_t)extent->bytes - before);
    return 0;
}

int roma__figures_populate(void *self, const roma_range *range,
                           const roma_populate_options *options, roma_error *error)
{
    return roma__figures_failed(self, roma__mapping_populate(range, options, error));
}

int roma__figures_advise(void *self, const roma_range *range, roma_advice advice,
                         const roma_executor *executor, roma_error *error)
{
    (void)executor; /* one call to the kernel for the whole range: nothing to hand out */
    return roma__figures_failed(self, roma__mapping_advise(range, advice, error));
}

int roma__figures_query(void *self, const roma_range *range, roma_report *report, roma_error *error)
{
    return roma__figures_failed(self, roma__mapping_query(range, report, error));
}

int roma__figures_migrate(void *self, const roma_range *range, const roma_nodes *nodes,
                          roma_migration *migration, roma_error *error)
{
    return roma__figures_failed(self, roma__mapping_migrate(range, nodes, migration, error));
}

/* ---- telling -------------------------------------------------------------------------------- */

/* "hugetlb-2048kB.bytes", as the kernel names its folders. */
static void kind_key(roma_page_kind kind, char *key, size_t bytes)
{
    unsigned page_class = roma_page_class(kind);
    const char *name = page_class == ROMA_PAGE_CLASS_HUGETLB ? "hugetlb"
                       : page_class == ROMA_PAGE_CLASS_THP   ? "thp"
                                                             : "base";
    roma__text text = roma__text_in(key, bytes);
    roma__text_add(&text, "%s-%zukB.bytes", name, roma_page_bytes(kind) / 1024);
}

static int visit_kinds(roma__provider_figures *figures, roma_visit visit, void *context)
{
    int code = 0;
    for (unsigned kind = 0; code == 0 && kind <= UINT8_MAX; kind++) {
        roma_value value = {ROMA_VALUE_BYTES, read_figure(&figures->kind_bytes[kind]), NULL};
        if (value.number == 0)
            continue;
        char key[48];
        kind_key((roma_page_kind)kind, key, sizeof key);
        code = visit(context, key, &value);
    }
    return code;
}

int roma__figures_stats(void *self, roma_visit visit, void *context)
{
    roma__provider_figures *figures = self;
    const struct {
        const char *key;
        roma_value value;
    } rows[] = {
        {"extents.live", {ROMA_VALUE_COUNT, read_figure(&figures->live), NULL}},
        {"extents.bytes", {ROMA_VALUE_BYTES, read_figure(&figures->bytes), NULL}},
        {"acquisitions.count", {ROMA_VALUE_COUNT, read_figure(&figures->acquisitions), NULL}},
        {"failures.count", {ROMA_VALUE_COUNT, read_figure(&figures->failures), NULL}},
    };
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof rows / sizeof rows[0]; i++)
        code = visit(context, rows[i].key, &rows[i].value);
    return code != 0 ? code : visit_kinds(figures, visit, context);
}
