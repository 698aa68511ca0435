/* Counts the signals that it receives. It prints "ready", and then answers these lines on standard input:
 *   count       prints the signals received since the last count, as "15:1 10:2" ("40:1=7" if sigqueue sent 7), or "-" if there were none
 *   parent N    sends signal N to the parent process, and prints "sent"
 *   leave       moves to a new process group, and prints "left"
 * It exits with status 7 at the end of its input. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    /* The C library's sigprocmask never blocks the two signals that it uses internally, so make the system call. */
    unsigned long long all = ~0ULL;
    sigset_t set;
    memset(&set, 0xff, sizeof set);
    if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof all))
        return 1;
    int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    char line[80];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "parent ", 7)) {
            kill(getppid(), atoi(line + 7));
            puts("sent");
        } else if (!strcmp(line, "leave\n")) {
            puts(setpgid(0, 0) ? "failed" : "left");
        } else {
            int counts[65] = {0}, values[65] = {0}, any = 0;
            struct signalfd_siginfo got;
            while (read(signals, &got, sizeof got) == sizeof got)
                counts[got.ssi_signo]++, values[got.ssi_signo] = got.ssi_code == SI_QUEUE ? got.ssi_int : 0;
            for (int n = 1; n < 65; n++)
                if (counts[n]) {
                    printf(any++ ? " %d:%d" : "%d:%d", n, counts[n]);
                    if (values[n])
                        printf("=%d", values[n]);
                }
            puts(any ? "" : "-");
        }
        fflush(stdout);
    }
    return 7;
}
