/* points_on.h - included before the store's sources: every named place of them calls the test. */
#ifndef ROMA_TESTS_CRASH_POINTS_ON_H
#define ROMA_TESTS_CRASH_POINTS_ON_H

void crash_point(const char *name);

#define ROMA__STORE_POINT(name) crash_point(name)

#endif
