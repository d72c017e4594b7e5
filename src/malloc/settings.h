/* settings.h - what the environment says; see the table in settings.c. */
#ifndef ROMA_MALLOC_SETTINGS_H
#define ROMA_MALLOC_SETTINGS_H

#include <roma/policy.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum roma__setting_huge { ROMA__HUGE_AUTO, ROMA__HUGE_THP, ROMA__HUGE_OFF, ROMA__HUGE_HUGETLB };

enum { ROMA__REPORT_PATH_BYTES = 1024 };

struct roma__settings {
    enum roma__setting_huge huge;
    bool is_hardened, is_bounded, has_background, is_verbose, goes_on;
    uint64_t return_delay_ns; /* UINT64_MAX: never           */
    uint64_t limit_bytes;     /* UINT64_MAX: none            */
    char report[ROMA__REPORT_PATH_BYTES]; /* "": none        */
    roma_policy *policy;                  /* NULL: none      */
};

/* Written once, before the heap is open. */
extern struct roma__settings roma__settings;

/* Read them; wrong ones are told on stderr and ignored. */
void roma__settings_read(void);

/* There is no policy, for this reason, which is told. */
void roma__settings_refuse_policy(const roma_error *why);

/* Tell them in one line on stderr. */
void roma__settings_tell(void);

#endif
