/* policy.c - fuzzes the text form of policies: any bytes are a policy or a mistake with a place.
 *
 * Beside crashes it looks for broken promises: a policy that was read is valid, prints as text that
 * reads back as an equal one, and that prints the same; the rule that a request meets is the first
 * whose conditions hold, and lengths between two partings meet the same rule. A mistake is told
 * with a line and a column inside the text, and with what was expected. */
#include "policy/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void broken(const char *what, int line)
{
    fprintf(stderr, "line %d: not so: %s\n", line, what);
    abort();
}

#define must(holds) ((holds) ? (void)0 : broken(#holds, __LINE__))

/* ---- mistakes ------------------------------------------------------------------------------- */

/* The place must be in the text, or just behind the end of a line. */
static void check_place(const char *text, size_t bytes, const roma_error *error)
{
    const char *line = text, *end = text + bytes;
    for (uint64_t number = 1; number < error->need; number++) {
        line = memchr(line, '\n', (size_t)(end - line));
        must(line != NULL);
        line++;
    }
    const char *line_end = memchr(line, '\n', (size_t)(end - line));
    if (line_end == NULL)
        line_end = end;
    must(error->need >= 1 && error->have >= 1);
    must(error->have <= (uint64_t)(line_end - line) + 1);
}

static void check_mistake(const char *text, size_t bytes, int code, const roma_error *error)
{
    char sentence[256];
    must(code == -EINVAL || code == -ENOSPC);
    must(error->code == code && error->why == ROMA_WHY_POLICY_TEXT);
    must(error->subject[0] != '\0' && strlen(error->subject) < sizeof error->subject - 1);
    check_place(text, bytes, error);
    must(strlen(roma_error_text(error, sentence, sizeof sentence)) < sizeof sentence - 1);
}

/* ---- policies ------------------------------------------------------------------------------- */

static char *print(const roma_policy *policy, size_t *bytes)
{
    char *text = NULL;
    FILE *stream = open_memstream(&text, bytes);
    must(stream != NULL && roma_policy_print(policy, stream) == 0 && fclose(stream) == 0);
    return text;
}

static void check_round_trip(const roma_policy *policy)
{
    size_t bytes, again_bytes;
    char *text = print(policy, &bytes), *again_text;
    roma_policy *again;
    roma_error error;
    must(roma_policy_parse(text, &again, &error) == 0);
    must(roma__policy_equal(policy, again));
    again_text = print(again, &again_bytes);
    must(bytes == again_bytes && memcmp(text, again_text, bytes) == 0);
    roma_policy_destroy(again);
    free(again_text);
    free(text);
}

/* By the words of the header, with nothing of match.c but the pattern. */
static bool decides(const roma_conditions *when, const roma_request *request)
{
    size_t length = request->bytes > 0 ? request->bytes : 1;
    if (length < when->least_bytes || (when->most_bytes > 0 && length > when->most_bytes))
        return false;
    if (when->label[0] != '\0' &&
        (request->label == NULL ||
         !roma__pattern_matches(when->label, request->label, strlen(request->label))))
        return false;
    if (when->lifetime != 0 && when->lifetime != request->lifetime)
        return false;
    if (when->access != 0 && when->access != request->access)
        return false;
    if (when->shared != 0 && (when->shared == ROMA_YES) != request->shared)
        return false;
    return when->persistent == 0 || (when->persistent == ROMA_YES) == request->persistent;
}

static void check_match(const roma_policy *policy, const roma_request *request)
{
    int expected = -1;
    for (unsigned i = 0; i < policy->rules_count && expected < 0; i++)
        if (decides(&policy->rules[i].when, request))
            expected = (int)i;
    must(roma__policy_match(policy, request) == expected);
}

static void check_matches(const roma_policy *policy)
{
    static const size_t lengths[] = {0, 1, 4096, 1 << 20, (size_t)1 << 40, SIZE_MAX};
    static const char *const labels[] = {NULL, "a", "index of something", "aaaaaaaaaaaaaaaaaaaab"};
    for (unsigned i = 0; i < 24; i++) {
        roma_request request = roma_request_default();
        request.bytes = lengths[i % 6];
        request.label = labels[i % 4];
        request.lifetime = (roma_lifetime)(i % 3);
        request.access = (roma_access)(i / 2 % 4);
        request.shared = i / 3 % 2;
        request.persistent = i / 5 % 2;
        check_match(policy, &request);
    }
}

static int match_plain(const roma_policy *policy, size_t bytes)
{
    roma_request request = roma_request_default();
    request.bytes = bytes;
    check_match(policy, &request);
    return roma__policy_match(policy, &request);
}

/* From parting to parting: the rule changes there, and nowhere between. */
static void check_partings(const roma_policy *policy)
{
    size_t from = 1;
    must(roma__policy_first_parting(policy) == roma__policy_next_parting(policy, 1));
    for (unsigned count = 0; from != SIZE_MAX; count++) {
        size_t next = roma__policy_next_parting(policy, from);
        int matched = match_plain(policy, from);
        must(next > from && count <= 2 * ROMA_RULES_MAX);
        must(match_plain(policy, next - 1) == matched);
        must(next == SIZE_MAX || match_plain(policy, next) != matched);
        for (unsigned i = 0; i < policy->rules_count; i++) {
            const roma_conditions *when = &policy->rules[i].when;
            if (when->least_bytes > from && when->least_bytes < next)
                must(match_plain(policy, when->least_bytes) == matched);
            if (when->most_bytes >= from && when->most_bytes < next - 1)
                must(match_plain(policy, when->most_bytes + 1) == matched);
        }
        from = next;
    }
}

static void check_copy(const roma_policy *policy)
{
    roma_policy *copy;
    must(roma__policy_copy(policy, &copy) == 0);
    must(roma__policy_equal(policy, copy));
    roma_policy_destroy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes > 0 ? bytes : 1); /* not terminated: what reads behind it is seen */
    roma_policy *policy = NULL;
    roma_error error;
    if (text == NULL)
        return 0;
    if (bytes > 0)
        memcpy(text, data, bytes);
    int code = roma__policy_parse(text, bytes, &policy, &error);
    must((code == 0) == (policy != NULL));
    if (code == 0) {
        must(roma__policy_is_valid(policy));
        check_round_trip(policy);
        check_matches(policy);
        check_partings(policy);
        check_copy(policy);
    } else {
        check_mistake(text, bytes, code, &error);
    }
    roma_policy_destroy(policy);
    free(text);
    return 0;
}
