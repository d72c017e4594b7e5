/* tour_json.c - the answer of the tour for programs: the same figures, GB/s as 10^9 bytes a second,
 * null for what was not measured or is not known. */
#include "tour.h"

#include <stdlib.h>
#include <string.h>

static void put_rates(json *map, const char *key, const rates *values, unsigned threads)
{
    json *list = json_list();
    json *one = json_map();
    json_put_count(one, "threads", 1);
    json_put_figure(one, "gb_per_s", values->one);
    json_append(list, one);
    if (threads > 1) {
        json *many = json_map();
        json_put_count(many, "threads", threads);
        json_put_figure(many, "gb_per_s", values->many);
        json_append(list, many);
    }
    json_put(map, key, list);
}

static json *account_json(const accounting *account)
{
    json *map = json_map();
    if (account->process_known) {
        json_put_count(map, "anon_huge_pages_bytes", account->thp_bytes);
        json_put_count(map, "hugetlb_bytes", account->hugetlb_bytes);
    }
    if (account->pool_known)
        json_put_count(map, "pool_free_pages", account->pool_free_pages);
    return map;
}

static json *proof_json(const proof *p, bool judged)
{
    static const char *const results[] = {"unknown", "yes", "no"};
    json *map = json_map(), *pages = json_list(), *nodes = json_list();
    json_put_text(map, "proved", judged ? results[p->result] : NULL);
    for (unsigned i = 0; i < p->report.kinds_count; i++) {
        json *entry = json_map();
        json_put_kind(entry, "pages", p->report.kinds[i].pages);
        json_put_count(entry, "page_bytes", roma_page_bytes(p->report.kinds[i].pages));
        json_put_count(entry, "bytes", p->report.kinds[i].bytes);
        json_append(pages, entry);
    }
    for (unsigned i = 0; i < p->report.nodes_count; i++) {
        json *entry = json_map();
        json_put_whole(entry, "node", p->report.nodes[i].node);
        json_put_count(entry, "bytes", p->report.nodes[i].bytes);
        json_append(nodes, entry);
    }
    json_put(map, "page_table", p->report.kinds_known ? pages : (json_object_put(pages), NULL));
    json_put(map, "nodes", p->report.nodes_known ? nodes : (json_object_put(nodes), NULL));
    json_put(map, "before", account_json(&p->before));
    json_put(map, "after", account_json(&p->after));
    return map;
}

static json *kind_json(const kind_figures *figures, unsigned threads)
{
    json *map = json_map();
    json_put_text(map, "memory", figures->name);
    json_put_count(map, "page_bytes", roma_page_bytes(figures->pages));
    json_put_flag(map, "given", figures->given);
    json_put_text(map, "reason", figures->given ? NULL : figures->reason);
    if (!figures->given)
        return map;
    json_put_count(map, "bytes", figures->bytes);
    put_rates(map, "populate", &figures->populate, threads);
    put_rates(map, "memset", &figures->writing, threads);
    json_put_count(map, "chase_bytes", figures->chase_bytes);
    json_put_figure(map, "chase_ns", figures->chase_ns);
    json_put(map, "proof", proof_json(&figures->proof, figures->pages != 0));
    return map;
}

static json *file_json(const file_figures *file)
{
    json *map = json_map(), *checks = json_map();
    char hash[32];
    json_put_text(map, "path", file->path[0] != '\0' ? file->path : NULL);
    json_put_flag(map, "ran", file->ran);
    json_put_text(map, "reason", file->reason[0] != '\0' ? file->reason : NULL);
    json_put_count(map, "bytes", file->bytes);
    if (file->ran) {
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)file->hash);
        json_put_kind(map, "pages", file->pages);
        json_put_text(map, "degraded", file->degraded[0] != '\0' ? file->degraded : NULL);
        json_put_count(map, "segments", file->segments_count);
        json_put_text(map, "hash", hash);
        json_put_figure(map, "load_gb_per_s", file->load_rate);
        json_put_figure(map, "hash_gb_per_s", file->hash_rate);
        json_put_count(map, "grown_bytes", file->grown_bytes);
        json_put_figure(map, "grow_ms", file->grow_ms);
        json_put_flag(map, "moved", file->moved);
        json_put_figure(map, "retain_release_ns", file->share_ns);
    }
    for (unsigned i = 0; i < file->checks_count; i++)
        json_put_flag(checks, file->checks[i].what, file->checks[i].good);
    json_put(map, "checks", checks);
    json_put_flag(map, "verified", file_is_good(file));
    return map;
}

static json *cold_json(const cold_figures *cold)
{
    json *map = json_map();
    json_put_flag(map, "ran", cold->ran);
    json_put_text(map, "reason", cold->reason[0] != '\0' ? cold->reason : NULL);
    json_put_count(map, "bytes", cold->bytes);
    if (cold->ran) {
        json_put_text(map, "way", cold->way);
        json_put_figure(map, "page_faults_ms", cold->touch_seconds * 1e3);
        json_put_figure(map, "prefetch_ms", cold->prefetch_seconds * 1e3);
        json_put_figure(map, "caller_ms", cold->caller_ms);
        json_put_figure(map, "hashed_by_page_faults_ms", cold->hash_seconds * 1e3);
        json_put_figure(map, "hashed_by_scan_ms", cold->scan_seconds * 1e3);
        json_put_count(map, "scan_pieces", cold->pieces);
        json_put_count(map, "scan_waits", cold->waits);
        json_put_figure(map, "scan_longest_wait_ms", cold->longest_wait_ms);
    }
    json_put_flag(map, "verified", !cold->failed);
    return map;
}

static json *store_json(const store_figures *store)
{
    json *map = json_map(), *checks = json_map();
    json_put_flag(map, "ran", store->ran);
    json_put_text(map, "reason", store->reason[0] != '\0' ? store->reason : NULL);
    json_put_count(map, "bytes", store->bytes);
    json_put_count(map, "blocks", store->pieces);
    json_put_count(map, "killed_at", store->killed_at);
    json_put_figure(map, "fill_ms", store->fill_ms);
    for (unsigned i = 0; i < store->checks_count; i++)
        json_put_flag(checks, store->checks[i].what, store->checks[i].good);
    json_put(map, "checks", checks);
    json_put_flag(map, "verified", store_is_good(store));
    return map;
}

static json *reservation_json(const reservation *r)
{
    char text[SENTENCE_BYTES];
    if (!r->wanted)
        return NULL;
    json *map = json_map();
    json_put_text(map, "text", reservation_text(r, text, sizeof text));
    json_put_count(map, "page_bytes", r->page_bytes);
    json_put_count(map, "before_pages", r->before);
    json_put_count(map, "during_pages", r->during);
    json_put_count(map, "after_pages", r->after);
    json_put_flag(map, "put_back", r->put_back);
    return map;
}

json *tour_json(const tour_answer *answer)
{
    json *map = json_map(), *kinds = json_list();
    roma_system_info system;
    roma_topology_system(roma_topology_get(), &system);
    json_put_text(map, "roma", roma_version());
    json_put_text(map, "kernel", system.kernel);
    json_put_count(map, "bytes", answer->plan.bytes);
    json_put_count(map, "threads", answer->plan.threads);
    json_put_count(map, "passes", answer->plan.passes);
    json_put_figure(map, "load_before", answer->plan.load);
    for (unsigned i = 0; i < answer->kinds_count; i++)
        json_append(kinds, kind_json(&answer->kinds[i], answer->plan.threads));
    json_put(map, "kinds", kinds);
    json_put(map, "file", file_json(&answer->file));
    json_put(map, "cold", cold_json(&answer->cold));
    json_put(map, "store", store_json(&answer->store));
    json_put(map, "reservation", reservation_json(&answer->reserved));
    char *reading = tour_reading(answer);
    json_put_text(map, "reading", reading);
    free(reading);
    json_put_flag(map, "verified", answer->verified);
    return map;
}
