/* read.c - reads a policy from a file: all of it at once, into a record that is then given back. A
 * setting gives the text, or names the file. */
#include "policy/policy.h"

#include "base/error.h"
#include "sys/read.h"
#include "sys/records.h"

#include <errno.h>

enum { FILE_BYTES_MAX = 64 << 10, BUFFER_BYTES = FILE_BYTES_MAX + 1 };

/* Folders open and do not read; what else goes wrong mostly does so when the file is opened. */
static int fail_reading(roma_error *error, int code, const char *path)
{
    if (code == -EFBIG)
        return roma__error_subject(error, code, ROMA_WHY_INVALID, path);
    (void)roma__error_subject(error, code, ROMA_WHY_CALL, path);
    if (error != NULL) {
        error->call = code == -EISDIR || code == -EIO ? "read" : "open";
        error->cause = -code;
    }
    return code;
}

int roma_policy_read(const char *path, roma_policy **policy, roma_error *error)
{
    if (policy == NULL)
        return roma__error_invalid(error, "policy");
    *policy = NULL;
    if (path == NULL)
        return roma__error_invalid(error, "path");
    char *text = roma__record_new(BUFFER_BYTES);
    if (text == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    ssize_t length = roma__read_file("", text, BUFFER_BYTES, "%s", path);
    int code = length < 0 ? fail_reading(error, (int)length, path)
                          : roma__policy_parse(text, (size_t)length, policy, error);
    roma__record_free(text, BUFFER_BYTES);
    return code;
}

int roma_policy_from(const char *given, roma_policy **policy, roma_error *error)
{
    return given != NULL && given[0] == '@' ? roma_policy_read(given + 1, policy, error)
                                            : roma_policy_parse(given, policy, error);
}
