/* death_static_free.c - free of an object of the program's data. */
#include "death.h"

static char data[100] = "not of malloc";

int main(void)
{
    free(hidden(data));
    return go_on();
}
