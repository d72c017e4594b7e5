/* version.c - the version of the library that runs. */
#include <roma/common.h>

#define TEXT_OF(number) #number
#define VERSION_OF(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *roma_version(void)
{
    return VERSION_OF(ROMA_VERSION_MAJOR, ROMA_VERSION_MINOR, ROMA_VERSION_PATCH);
}
