/* session_script.cpp - see session_script.hpp. */
#include "session_judge.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <unistd.h>

namespace session {
namespace {

/* ---- the parts ------------------------------------------------------------------------------- */

void read_topology()
{
    where = "topology";
    roma_topology *topology = nullptr;
    roma_error error = {};
    const int code = roma_topology_read("", &topology, &error);
    if (judged("read", code, error, true)) {
        const roma_nodes nodes = roma_topology_nodes(topology);
        require(!roma_nodes_is_empty(&nodes), "nodes", "a machine without a node");
        for (unsigned i = 0; i < roma_topology_kinds_count(topology); i++) {
            roma_kind_info kind = {};
            roma_pool_info pool = {};
            require(roma_topology_kind(topology, i, &kind) == 0, "kind", "no such kind");
            add(now->notes, sizeof now->notes, "kind %x %d %s\n", kind.pages, kind.usable,
                kind.mode);
            if (roma_page_class(kind.pages) == ROMA_PAGE_CLASS_HUGETLB)
                counted("pool",
                        roma_topology_pool(topology, roma_page_bytes(kind.pages), -1, &pool));
        }
        for (int node = roma_nodes_next(&nodes, 0); node >= 0;
             node = roma_nodes_next(&nodes, static_cast<unsigned>(node) + 1)) {
            roma_node_info info = {};
            counted("node", roma_topology_node(topology, static_cast<unsigned>(node), &info));
            add(now->notes, sizeof now->notes, "node %d %d %d %d %s\n", node, info.has_memory,
                info.has_cpus, info.allowed, info.cpus);
        }
        for (unsigned i = 0; i < roma_topology_limits_count(topology); i++) {
            roma_limit_info limit = {};
            counted("limit", roma_topology_limit(topology, i, &limit));
            add(now->notes, sizeof now->notes, "limit %d\n", static_cast<int>(limit.kind));
        }
        roma_system_info system = {};
        roma_topology_system(topology, &system);
        require(system.base_page_bytes >= 4096, "system", "no base page size");
        add(now->notes, sizeof now->notes, "system %s %zu %s %d %d %d %d %d\n", system.thp_enabled,
            system.thp_bytes, system.thp_defrag, system.numa_balancing, system.overcommit_memory,
            system.io_uring_disabled, system.io_uring_error, system.memory_total_bytes > 0);
    } else {
        require(topology == nullptr, "read", "a topology in spite of an error");
    }
    roma_topology_free(topology);
    counted("get", roma_topology_get() != nullptr ? 0 : -ENOENT);
}

/* Bare extents of one kind, through every call that a provider has. */
void use_extent(roma_provider *provider, roma_page_kind pages, size_t page_bytes, bool strict,
                unsigned threads)
{
    roma_extent_request request = roma_extent_request_default();
    roma_extent extent = {};
    roma_error error = {};
    request.bytes = page_bytes;
    request.pages = pages;
    request.label = "session";
    request.populate_threads = threads;
    request.strict = strict;
    if (strict)
        request.nodes = roma_nodes_one(0);
    judged("probe", roma_provider_probe(provider, &request, &error), error);
    error = {};
    if (!judged("acquire", roma_provider_acquire(provider, &request, &extent, &error), error))
        return;
    require(extent.bytes >= request.bytes, "acquire", "less than asked");
    if (extent.zeroed)
        check_zero("acquire", extent.address, extent.bytes);
    require(threads == 0 || extent.populated, "acquire", "not populated, though asked");
    fill(extent.address, extent.bytes, 7);

    roma_range range = {&extent, 0, extent.bytes};
    roma_populate_options options = {};
    options.size = sizeof options;
    options.threads = 2;
    error = {};
    judged("populate", roma_provider_populate(provider, &range, &options, &error), error);
    roma_report report = {};
    error = {};
    if (judged("query", roma_provider_query(provider, &range, &report, &error), error)) {
        require(report.resident_bytes <= report.bytes, "query", "more resident than there is");
        add(now->notes, sizeof now->notes, "query: kinds %d nodes %d\n", report.kinds_known,
            report.nodes_known);
    }
    if ((roma_provider_capabilities(provider) & ROMA_CAN_MIGRATE) != 0) {
        const roma_extent before = extent;
        const roma_nodes zero = roma_nodes_one(0);
        roma_migration migration = {};
        error = {};
        judged("migrate", roma_provider_migrate(provider, &range, &zero, &migration, &error),
               error);
        require(migration.error.code == error.code, "migrate", "the report has another error");
        require(std::memcmp(&before, &extent, sizeof extent) == 0, "migrate",
                "the extent was changed");
        check_filled("migrate", extent.address, extent.bytes, 7);
    }
    for (size_t bytes : {2 * page_bytes, page_bytes}) {
        const roma_extent before = extent;
        error = {};
        if (judged("resize", roma_provider_resize(provider, &extent, bytes, true, &error), error))
            require(extent.bytes >= bytes, "resize", "less than asked");
        else
            require(std::memcmp(&before, &extent, sizeof extent) == 0, "resize",
                    "a failed resize changed the extent");
        check_filled("resize", extent.address, 4096, 7);
        fill(extent.address, extent.bytes, 7); /* all of it is there */
    }
    /* Last, since pageout and discard change or lose contents. */
    range = {&extent, 0, extent.bytes};
    for (int advice = ROMA_ADVICE_NEED; advice < ROMA_ADVICE_COUNT; advice++) {
        error = {};
        judged("advise",
               roma_provider_advise(provider, &range, static_cast<roma_advice>(advice), nullptr,
                                    &error),
               error);
    }
    error = {};
    judged("release", roma_provider_release(provider, &extent, &error), error);
}

void use_extents(roma_provider *counting, roma_provider *region, size_t huge_bytes)
{
    where = "extents, base";
    use_extent(counting, ROMA_PAGE_CLASS_BASE, 65536, true, 2);
    where = "extents, transparent huge";
    use_extent(counting, ROMA_PAGE_CLASS_THP, huge_bytes, true, 2);
    where = "extents, hugetlb";
    use_extent(counting, ROMA_PAGE_CLASS_HUGETLB, huge_bytes, true, 2);
    where = "extents, region";
    use_extent(region, ROMA_PAGE_CLASS_BASE, 65536, false, 0);
}

void *alloc_with(roma_manager *manager, const char *call, const roma_request &request)
{
    roma_grant grant;
    std::memset(&grant, 0x55, sizeof grant);
    void *block = roma_alloc_with(manager, &request, &grant);
    if (given(call, block))
        require(roma_bytes(block) == request.bytes, call, "another length than asked");
    judge_grant(call, block != nullptr, grant);
    return block;
}

/* Lengths change: within the cell, by growing, by moving, down. What fails changes nothing. */
void resize_blocks(roma_manager *manager, size_t large)
{
    size_t length = 5000;
    void *block = roma_alloc(manager, length);
    if (!given("alloc", block))
        return;
    fill(block, length, 3);
    for (size_t bytes : {size_t(5100), size_t(200000), large, 2 * large, size_t(6000)}) {
        void *moved = roma_resize(block, bytes);
        if (given("resize", moved)) {
            block = moved;
            length = bytes;
        }
        require(roma_bytes(block) == length, "resize", "another length than asked, or had");
        require(roma_count(block) == 1, "resize", "another count than before");
        check_filled("resize", block, std::min<size_t>(length, 5000), 3);
    }
    roma_block handle = roma_block_of(block);
    const roma_block before = handle;
    const int code = roma_block_resize(&handle, large, ROMA_RESIZE_ZERO);
    if (counted("block resize", code)) {
        check_zero("block resize", static_cast<char *>(handle.address) + 6000, large - 6000);
    } else {
        require(!is_callers(code), "block resize", "the code means a mistake of the caller");
        require(before.address == handle.address && before.generation == handle.generation,
                "block resize", "a failed resize changed the handle");
    }
    check_filled("block resize", handle.address, 5000, 3);
    require(roma_block_release(&handle) == 0, "block release", "not the last reference");
}

/* More references than a word holds, so that the side table is used. */
void retain_often(roma_manager *manager)
{
    void *block = roma_alloc(manager, 64);
    if (!given("alloc", block))
        return;
    int count = 1;
    bool failed = false;
    for (int i = 0; i < 1100; i++) {
        const int result = roma_retain(block);
        if (result < 0) {
            failed = true;
            require(result == -EOVERFLOW || result == -ENOMEM, "retain", "an undocumented code");
        } else {
            require(result == ++count, "retain", "another count than expected");
        }
    }
    counted("retain", failed ? -ENOMEM : 0);
    require(roma_count(block) == count, "count", "another count than expected");
    while (count > 1)
        if (!require(roma_release(block) == --count, "release", "another count than expected"))
            return;
    require(roma_release(block) == 0, "release", "not the last reference");
}

void use_weak(roma_manager *manager)
{
    roma_request request = roma_request_default();
    request.bytes = 300;
    request.weak = true;
    void *block = alloc_with(manager, "alloc weak", request);
    if (block == nullptr)
        return;
    roma_block handle = roma_block_of(block);
    require(roma_block_try_retain(handle) == 2, "try_retain", "a live block was not retained");
    require(roma_release(block) == 1 && roma_release(block) == 0, "release", "another count");
    require(roma_block_try_retain(handle) == -ESTALE, "try_retain", "a dead block was retained");
    require(roma_block_get(handle) == nullptr, "get", "a stale handle has an address");
}

/* What every manager is taken through. Leaves some blocks, for clear or destroy to find. */
void use_manager(roma_manager *manager, size_t large, unsigned threads)
{
    const size_t lengths[] = {0, 1, 100, 4096, 40000, 300000, large};
    void *blocks[sizeof lengths / sizeof *lengths];
    unsigned i = 0;
    for (size_t bytes : lengths) {
        blocks[i] = i % 2 != 0 ? roma_alloc_zeroed(manager, bytes) : roma_alloc(manager, bytes);
        if (given("alloc", blocks[i])) {
            if (i % 2 != 0)
                check_zero("alloc zeroed", blocks[i], bytes);
            if (bytes > 0)
                fill(blocks[i], bytes, i);
        }
        i++;
    }
    void *aligned = roma_alloc_aligned(manager, 10000, 1 << 16);
    if (given("alloc aligned", aligned))
        require(reinterpret_cast<uintptr_t>(aligned) % (1 << 16) == 0, "alloc aligned",
                "it is not");

    roma_request request = roma_request_default();
    request.bytes = large;
    request.label = "labelled";
    request.populate_threads = threads;
    request.zero = true;
    void *labelled = alloc_with(manager, "alloc labelled", request);
    if (labelled != nullptr) {
        const char *label = roma_label_of(labelled);
        require(label != nullptr && std::strcmp(label, "labelled") == 0, "label", "it is another");
        check_zero("alloc labelled", labelled, large);
        look_where(labelled);
    }
    request = roma_request_default();
    request.bytes = 5000;
    request.registered = true;
    void *registered = alloc_with(manager, "alloc registered", request);
    if (registered != nullptr) {
        errno = 0;
        void *moved = roma_resize(registered, 1 << 20);
        require(moved == nullptr && errno == EBUSY, "resize", "a registered block was resized");
        require(roma_manager_clear(manager) == -EBUSY, "clear", "a registered block was freed");
        require(roma_release(registered) == 0, "release", "not the last reference");
    }
    resize_blocks(manager, large);
    use_weak(manager);
    void *batch[8] = {};
    if (counted("alloc batch", roma_alloc_batch(manager, 512, batch, 8)))
        roma_free_batch(batch, 8);

    roma_free(aligned);
    roma_free(labelled);
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        if (blocks[i] == nullptr)
            continue;
        require(roma_bytes(blocks[i]) == lengths[i], "bytes", "another length than asked");
        if (lengths[i] > 0)
            check_filled("free", blocks[i], lengths[i], i);
        if (i % 3 != 0)
            roma_free_sized(blocks[i], lengths[i]);
    }
    counted("trim", roma_manager_trim(manager, 0));
}

/* A trim while another thread keeps free blocks and does nothing: what it keeps goes, too, where
 * the kernel lets it be taken. */
void trim_behind_a_thread(roma_manager *manager)
{
    std::atomic<bool> is_idle{false}, may_end{false};
    std::thread idle([&] {
        for (size_t bytes : {16, 2000})
            roma_free(roma_alloc(manager, bytes));
        is_idle = true;
        while (!may_end)
            std::this_thread::yield();
    });
    while (!is_idle)
        std::this_thread::yield();
    counted("trim behind a thread", roma_manager_trim(manager, 0));
    may_end = true;
    idle.join();
}

/* A block that has its pages for itself. */
void migrate_block(roma_manager *manager)
{
    roma_request request = roma_request_default();
    request.bytes = size_t(2) << 20;
    void *block = alloc_with(manager, "alloc for migration", request);
    if (block == nullptr)
        return;
    fill(block, request.bytes, 11);
    const roma_nodes zero = roma_nodes_one(0);
    roma_migration migration = {};
    const int code = roma_migrate(block, &zero, &migration);
    counted("migrate", code);
    require(migration.error.code == code, "migrate", "the report has another error");
    if (code != 0)
        judge_error("migrate", code, migration.error);
    check_filled("migrate", block, request.bytes, 11);
    require(roma_release(block) == 0, "release", "not the last reference");
}

/* The same for managers that differ only in the memory they ask for. */
void use_manager_briefly(roma_manager *manager, size_t large, unsigned threads)
{
    roma_request request = roma_request_default();
    request.bytes = large;
    request.populate_threads = threads;
    void *block = alloc_with(manager, "alloc populated", request);
    if (block != nullptr) {
        fill(block, large, 9);
        look_where(block);
        void *moved = roma_resize(block, large + (large >> 1));
        if (given("resize", moved))
            block = moved;
        check_filled("resize", block, large, 9);
        look_where(block);
        require(roma_release(block) == 0, "release", "not the last reference");
    }
    migrate_block(manager);
    request = roma_request_default();
    request.bytes = 100;
    alloc_with(manager, "alloc", request); /* for clear or destroy to find */
    counted("trim", roma_manager_trim(manager, 0));
}

void on_misuse(void *, const roma_misuse *misuse)
{
    broken("on_misuse", misuse->text);
}

roma_manager *make_manager(const char *name, roma_options options, roma_request *request,
                           roma_provider *const *provider)
{
    roma_manager *manager = nullptr;
    roma_error error = {};
    where = name;
    options.name = name;
    options.request = request;
    options.providers = provider;
    options.providers_count = provider != nullptr ? 1 : 0;
    options.on_misuse = on_misuse;
    if (!judged("create", roma_manager_create(&manager, &options, &error), error)) {
        require(manager == nullptr, "create", "a manager in spite of an error");
        return nullptr;
    }
    return manager;
}

void end_manager(roma_manager *manager, const setting &with)
{
    require(roma_manager_check(manager) == 0, "check", "the manager is damaged");
    if (ftruncate(with.json_fd, 0) == 0 && lseek(with.json_fd, 0, SEEK_SET) == 0 &&
        counted("json", roma_manager_json(manager, with.json_fd))) {
        char text[4096];
        const ssize_t length = pread(with.json_fd, text, sizeof text, 0);
        require(length > 2 && text[0] == '{' && text[length - 2] == '}' && text[length - 1] == '\n',
                "json", "not one whole object and a newline");
    }
    if (figure(manager, "blocks.live") > 0)
        require(roma_manager_destroy(manager) == -EBUSY, "destroy", "not -EBUSY while blocks live");
    const int64_t live = static_cast<int64_t>(figure(manager, "blocks.live"));
    require(roma_manager_clear(manager) == live, "clear", "not as many blocks as lived");
    require(figure(manager, "blocks.live") == 0, "clear", "blocks live after it");
    require(roma_manager_destroy(manager) == 0, "destroy", "failed though no block lives");
}

void explain_to(roma_manager *manager)
{
    roma_request want = roma_request_default();
    roma_grant grant;
    std::memset(&grant, 0x55, sizeof grant);
    want.bytes = 4 << 20;
    if (!counted("explain", roma_explain(manager, &want, &grant)))
        return;
    for (unsigned i = 0; i < grant.steps_count; i++)
        if (grant.steps[i].error.code != 0)
            judge_error("explain", grant.steps[i].error.code, grant.steps[i].error);
}

void use_managers(const setting &with, roma_provider *counting, roma_provider *region)
{
    struct row {
        const char *name;
        roma_pages pages;
        roma_placement placement;
        bool strict, is_brief;
        unsigned debug, threads;
        roma_provider *provider;
        size_t large;
    };
    const row rows[] = {
        {"base", ROMA_PAGES_BASE, ROMA_ANYWHERE, false, false, 0, 2, counting, 300000},
        {"hugetlb", ROMA_PAGES_HUGETLB, ROMA_ANYWHERE, false, true, 0, 2, nullptr, 1500000},
        {"strict node", ROMA_PAGES_BASE, ROMA_NODES, true, true, 0, 2, counting, 400000},
        {"local", ROMA_PAGES_BASE, ROMA_LOCAL, false, true, 0, 0, nullptr, 400000},
        {"region", ROMA_PAGES_BASE, ROMA_ANYWHERE, false, true, 0, 0, region, 400000},
        {"debug", ROMA_PAGES_BASE, ROMA_ANYWHERE, false, false, ROMA_DEBUG_ALL, 0, nullptr, 300000},
    };
    for (const row &row : rows) {
        if (row.provider == nullptr && std::strcmp(row.name, "region") == 0)
            continue;
        roma_options options = roma_options_default();
        options.debug = row.debug;
        options.leak_stream = with.quiet;
        roma_request request = roma_request_default();
        request.pages = row.pages;
        request.placement = row.placement;
        request.strict = row.strict;
        if (row.placement == ROMA_NODES)
            request.nodes = roma_nodes_one(0);
        roma_manager *manager = make_manager(row.name, options, &request,
                                             row.provider != nullptr ? &row.provider : nullptr);
        if (manager == nullptr)
            continue;
        if (row.is_brief)
            use_manager_briefly(manager, row.large, row.threads);
        else
            use_manager(manager, row.large, row.threads);
        if (&row == rows) {
            retain_often(manager);
            trim_behind_a_thread(manager);
        }
        if (row.pages == ROMA_PAGES_HUGETLB)
            explain_to(manager);
        end_manager(manager, with);
    }
}

void use_default()
{
    where = "the default manager";
    roma_manager *manager = roma_default();
    if (!require(manager != nullptr, "default", "there is none"))
        return;
    void *block = roma_alloc(manager, 70000);
    if (given("alloc", block)) {
        fill(block, 70000, 1);
        roma_free(block);
    }
    counted("trim", roma_manager_trim(manager, 0));
    require(figure(manager, "blocks.live") == 0, "stats", "blocks live");
}

/* Nothing is left: no extent, no user, so the provider can go. */
void end_provider(roma_provider *provider, const char *call, bool may_keep)
{
    if (!may_keep) {
        require(figure(provider, "extents.live") == 0, call, "extents live");
        require(figure(provider, "extents.bytes") == 0, call, "bytes live");
        require(figure(provider, "dispatch.extents") == 0, call, "the dispatch counts extents");
    }
    if (provider == roma_provider_anonymous())
        return;
    const int code = roma_provider_unregister(provider);
    require(code == 0 || (may_keep && code == -EBUSY), call, "it cannot be unregistered");
}

} // namespace

void run(const setting &with, record &into, bool (*may_keep)())
{
    now = &into;
    read_topology();

    where = "providers";
    roma_provider *counting = nullptr, *region = nullptr;
    roma_error error = {};
    roma_region_config config = {};
    config.size = sizeof config;
    config.address = with.region;
    config.bytes = with.region_bytes;
    judged("region", roma_provider_region(&config, &region, &error), error);
    error = {};
    judged("counting", roma_provider_counting(roma_provider_anonymous(), &counting, &error), error);
    if (counting != nullptr && region != nullptr)
        use_extents(counting, region, with.huge_bytes);
    use_managers(with, counting, region);
    use_default();
    use_files(with.long_fd);

    where = "the end";
    if (counting != nullptr)
        end_provider(counting, "counting", may_keep());
    if (region != nullptr)
        end_provider(region, "region", false);
    end_provider(roma_provider_anonymous(), "anonymous", may_keep());
    into.has_ended = true;
}

void run_briefly(record &into)
{
    now = &into;
    roma_request request = roma_request_default();
    request.pages = ROMA_PAGES_BASE;
    roma_manager *manager = make_manager("afterwards", roma_options_default(), &request, nullptr);
    if (manager == nullptr)
        return;
    use_manager_briefly(manager, 300000, 2);
    require(into.errors_count == 0, "all", "a call fails that is not failed any more");
    require(roma_manager_clear(manager) == 1, "clear", "not as many blocks as lived");
    require(roma_manager_destroy(manager) == 0, "destroy", "failed though no block lives");
    into.has_ended = true;
}

} // namespace session
