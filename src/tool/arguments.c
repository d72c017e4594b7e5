/* arguments.c - reading arguments and complaining about them, the same way in every command. */
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages ------------------------------------------------------------------------------- */

int complain(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "roma %s: ", command);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_FAULT;
}

int complain_misuse(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "roma %s: ", command);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "; see `roma help %s`\n", command);
    va_end(arguments);
    return EXIT_MISUSE;
}

int finish_output(const char *command, int code)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return code;
    return complain(command, "the answer could not be written (%s)", strerror(errno));
}

/* ---- options -------------------------------------------------------------------------------- */

int next_option(int argc, char **argv, const struct option *options)
{
    opterr = 0;
    int option = getopt_long(argc, argv, ":", options, NULL);
    if (option == -1)
        return OPTIONS_END;
    if (option != '?' && option != ':')
        return option;
    /* For a long option the word itself is the one before optind; a short one leaves its letter. */
    const char *word = argv[optind - 1];
    if (option == ':')
        complain_misuse(argv[0], "%s needs a value", word);
    else if (optopt > ' ' && optopt < 127 && strncmp(word, "--", 2) != 0)
        complain_misuse(argv[0], "there is no option -%c", optopt);
    else if (optopt != 0)
        complain_misuse(argv[0], "%.*s takes no value", (int)strcspn(word, "="), word);
    else
        complain_misuse(argv[0], "there is no option %s, or it is cut too short", word);
    return OPTIONS_WRONG;
}

bool read_size(const char *command, const char *name, const char *text, uint64_t *size)
{
    int code = roma_size_parse(text, size);
    if (code == 0)
        return true;
    if (code == -ERANGE)
        complain_misuse(command, "%s: '%s' is beyond 64 bits", name, text);
    else
        complain_misuse(command, "%s: '%s' is not a size such as 4096, 64K, 2MiB or 1G", name,
                        text);
    return false;
}

bool read_count(const char *command, const char *name, const char *text, unsigned most,
                unsigned *count)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    bool is_number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
    if (!is_number || value < 1 || value > most) {
        complain_misuse(command, "%s: '%s' is not a number from 1 to %u", name, text, most);
        return false;
    }
    *count = (unsigned)value;
    return true;
}

/* What depends on a manager, the providers' names, is seen when one is put in place. */
roma_policy *read_policy(const char *command, const char *given)
{
    roma_policy *policy = NULL;
    roma_request any = roma_request_default();
    roma_grant grant;
    int code = roma_policy_from(given, &policy, &grant.error);
    if (code == 0)
        code = roma_policy_explain(policy, &any, &grant, NULL);
    if (code == 0)
        return policy;
    char sentence[SENTENCE_BYTES];
    complain_misuse(command, "--policy: %s",
                    roma_error_text(&grant.error, sentence, sizeof sentence));
    roma_policy_destroy(policy);
    return NULL;
}

/* ---- memory --------------------------------------------------------------------------------- */

void *need_memory(void *memory)
{
    if (memory == NULL) {
        fputs("roma: no memory for the tool's own records\n", stderr);
        exit(EXIT_FAULT);
    }
    return memory;
}
