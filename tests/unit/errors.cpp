/* errors.cpp - error records, their sentences, and grants as text. */
#include "catch.hpp"

#include "base/error.h"

#include <roma/request.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>

namespace {

/* A record with every figure as long as it gets. */
roma_error longest(roma_why why)
{
    roma_error error = {};
    roma__error_subject(&error, -EOVERFLOW, why, std::string(200, 'x').c_str());
    error.cause = ENOTRECOVERABLE; /* "State not recoverable" */
    error.call = "io_uring_setup";
    error.node = 1023;
    error.pages = ROMA_PAGE_CLASS_THP | 39; /* 512 GiB transparent huge */
    error.need = error.have = UINT64_MAX - 1;
    error.total = UINT64_MAX;
    return error;
}

std::string text_of(const roma_error &error)
{
    char text[256];
    return roma_error_text(&error, text, sizeof text);
}

/* What a function prints to a stream. */
template <class Print> std::string printed(Print print)
{
    char *text = nullptr;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    CHECK(print(stream) == 0);
    std::fclose(stream);
    std::string result(text, bytes);
    std::free(text);
    return result;
}

} // namespace

TEST_CASE("every reason has a sentence of its own that fits 256 bytes")
{
    std::set<std::string> empty_ones, full_ones;
    for (int why = 0; why < ROMA_WHY_COUNT; why++) {
        char text[2000];
        roma_error error = longest(static_cast<roma_why>(why));
        const std::string full = roma_error_text(&error, text, sizeof text);
        INFO(why << ": " << full);
        CHECK(full.size() > 10);
        CHECK(full.size() < 256);
        CHECK(full.find("(null)") == std::string::npos);
        CHECK(full_ones.insert(full).second);

        roma__error(&error, -EIO, static_cast<roma_why>(why));
        const std::string bare = text_of(error);
        INFO(bare);
        CHECK(bare.size() > 10);
        CHECK(bare.find("(null)") == std::string::npos);
        CHECK(empty_ones.insert(bare).second);
    }
    roma_error of_ring = longest(ROMA_WHY_CALL);
    of_ring.cause = ENOMEM;
    char text[2000];
    CHECK(std::strlen(roma_error_text(&of_ring, text, sizeof text)) < 256);
    roma_error unknown = longest(static_cast<roma_why>(ROMA_WHY_COUNT + 5));
    CHECK(text_of(unknown).find("does not know") != std::string::npos);
}

TEST_CASE("sentences tell the figures and what to do")
{
    roma_error error = {};
    roma__error(&error, -ENOMEM, ROMA_WHY_POOL_EMPTY);
    error.node = 0;
    error.pages = ROMA_PAGES_2M;
    error.need = 4;
    error.total = 512;
    CHECK(text_of(error) == "no free 2 MiB pages on node 0: 0 of 512 free, 4 needed; write to "
                            "nr_hugepages or allow transparent huge pages");
    error.have = 3;
    error.node = -1;
    CHECK(text_of(error) == "too few free 2 MiB pages: 3 of 512 free, 4 needed; write to "
                            "nr_hugepages or allow transparent huge pages");

    roma__error_call(&error, "mbind", EPERM);
    CHECK(error.code == -EPERM);
    CHECK(error.why == ROMA_WHY_CALL_REFUSED);
    CHECK(text_of(error) == "the kernel refused mbind (Operation not permitted): a seccomp filter, "
                            "as containers have, may forbid it; allow it, or do not name nodes");

    roma__error_call(&error, "mmap", ENOMEM);
    CHECK(text_of(error).find("vm.max_map_count or ulimit -v") != std::string::npos);
    roma__error_call(&error, "io_uring_setup", EMFILE);
    CHECK(text_of(error).find("(ulimit -n)") != std::string::npos);
    roma__error_call(&error, "io_uring_setup", ENOMEM); /* a ring's memory counts as locked */
    CHECK(text_of(error) == std::string("io_uring_setup failed (") + std::strerror(ENOMEM) +
                                "); raise the limit of locked memory (ulimit -l), free some "
                                "memory, or use threads instead");

    roma__error_subject(&error, -ENOMEM, ROMA_WHY_CGROUP_HUGETLB, "/batch.slice/job-7.scope");
    error.need = 4 << 20;
    error.have = 2 << 20;
    error.total = 10 << 20;
    CHECK(text_of(error) == "the limit of huge pages of cgroup /batch.slice/job-7.scope is in the "
                            "way: 4 MiB needed, 8 MiB of 10 MiB used; raise hugetlb.*.max there or "
                            "free some");

    roma__error(&error, -EXDEV, ROMA_WHY_LANDED_ELSEWHERE);
    error.have = 1 << 20;
    error.need = 4 << 20;
    error.node = 2;
    CHECK(text_of(error).find("1 MiB of 4 MiB are on node 2;") != std::string::npos);
}

TEST_CASE("error records are filled whole and a missing one is no trouble")
{
    roma_error error = {};
    std::memset(&error, 0xAB, sizeof error);
    CHECK(roma__error(&error, -EINVAL, ROMA_WHY_INVALID) == -EINVAL);
    CHECK(error.code == -EINVAL);
    CHECK(error.node == -1);
    CHECK(error.call == nullptr);
    CHECK(error.need == 0);
    CHECK(std::string(error.subject).empty());
    CHECK(roma__error_subject(&error, -E2BIG, ROMA_WHY_UNKNOWN_OPTION, "request") == -E2BIG);
    CHECK(std::string(error.subject) == "request");
    CHECK(roma__error_subject(&error, -EINVAL, ROMA_WHY_INVALID, std::string(99, 'y').c_str()) ==
          -EINVAL);
    CHECK(std::strlen(error.subject) == sizeof error.subject - 1);
    CHECK(roma__error_call(&error, "mmap", ENOMEM) == -ENOMEM);
    CHECK(error.why == ROMA_WHY_CALL);
    CHECK(error.cause == ENOMEM);
    CHECK(std::string(error.call) == "mmap");
    CHECK(roma__error_call(&error, "madvise", ENOSYS) == -ENOSYS);
    CHECK(error.why == ROMA_WHY_CALL_REFUSED);
    CHECK(roma__error(nullptr, -EINVAL, ROMA_WHY_INVALID) == -EINVAL);
    CHECK(roma__error_call(nullptr, "mmap", ENOMEM) == -ENOMEM);
}

TEST_CASE("error text is cut and terminated, and printing tells of a broken stream")
{
    roma_error error = {};
    roma__error(&error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    char text[10];
    CHECK(std::string(roma_error_text(&error, text, sizeof text)) == "no memory");
    text[0] = 'x';
    CHECK(roma_error_text(&error, text, 0) == text);
    CHECK(text[0] == 'x');
    CHECK(std::string(roma_error_text(nullptr, text, sizeof text)).empty());
    CHECK(printed([&](FILE *stream) { return roma_error_print(stream, &error); }) ==
          text_of(error) + "\n");
    CHECK(roma_error_print(nullptr, &error) == -EINVAL);
    CHECK(roma_error_print(stdout, nullptr) == -EINVAL);
    FILE *read_only = std::fopen("/dev/null", "r");
    REQUIRE(read_only != nullptr);
    CHECK(roma_error_print(read_only, &error) < 0);
    roma_grant grant = {};
    CHECK(roma_grant_print(read_only, &grant) < 0);
    std::fclose(read_only);
}

TEST_CASE("a grant prints a line a step and a line with what was obtained")
{
    roma_grant grant = {};
    grant.steps_count = 2;
    grant.bytes = 4 << 20;
    grant.pages = ROMA_PAGE_CLASS_THP | 21;
    grant.zeroed = grant.populated = true;
    grant.nodes = roma_nodes_one(0);
    roma_step &first = grant.steps[0];
    std::strcpy(first.provider, "anonymous");
    first.pages = ROMA_PAGES_2M;
    first.nodes = roma_nodes_one(0);
    first.strict = true;
    roma__error(&first.error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
    first.error.pages = ROMA_PAGES_2M;
    std::strcpy(grant.steps[1].provider, "anonymous");
    grant.steps[1].pages = grant.pages;
    CHECK(
        printed([&](FILE *stream) { return roma_grant_print(stream, &grant); }) ==
        "step 1: anonymous, 2 MiB hugetlb pages, node 0, strict: there are no 2 MiB hugetlb pages "
        "here; `roma topo` lists the kinds of this machine\n"
        "step 2: anonymous, 2 MiB transparent huge pages, any node: granted\n"
        "obtained 4 MiB on 2 MiB transparent huge pages, node 0, populated, zeroed\n");

    grant.code = -EOPNOTSUPP;
    grant.error = first.error;
    grant.steps_count = 1;
    const std::string text = printed(
        [&](FILE *stream) { return roma_grant_print(stream, &grant); });
    CHECK(text.find("\nnothing obtained: there are no 2 MiB hugetlb pages here") !=
          std::string::npos);
    CHECK(roma_grant_print(nullptr, &grant) == -EINVAL);
    CHECK(roma_grant_print(stdout, nullptr) == -EINVAL);
}
