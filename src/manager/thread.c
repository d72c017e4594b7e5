/* thread.c - a thread says where it runs. */
#include "manager/manager.h"

#include "numa/machine.h"

int roma_thread_bind(int node)
{
    int code = roma__thread_say_node(node);
    if (code == 0)
        roma__caches_look_around();
    return code;
}
