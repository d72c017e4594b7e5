/* figures.h - what several measurements of one thing come to. */
#ifndef PERF_SUPPORT_FIGURES_H
#define PERF_SUPPORT_FIGURES_H

/* Sorts the values, which are at least one. The mean of the two in the middle where their number is
 * even. */
double median_of(double *values, unsigned count);

#endif
