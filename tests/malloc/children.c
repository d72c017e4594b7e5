/* children.c - a process, its child and its grandchild, each of which exits in order: three
 * reports. */
#include "expect.h"

#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    void *block = malloc(1000);
    for (int generation = 0; generation < 2; generation++) {
        pid_t pid = fork();
        EXPECT(pid >= 0);
        if (pid > 0) {
            int status = -1;
            EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
            break;
        }
    }
    free(block);
    return finish("children");
}
