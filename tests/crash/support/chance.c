/* chance.c - the state of each thread, see chance.h. */
#include "chance.h"

_Thread_local uint64_t chance_state;
