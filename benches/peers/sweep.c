// The least that a program must do to remove what `shmtool unlink --unused` removes: it makes the same system calls, but it
// checks and reports less.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int directory = open("/dev/shm", O_PATH | O_DIRECTORY);
    DIR *entries;
    struct dirent *entry;
    char **names = NULL;
    size_t count = 0, capacity = 0;
    if (argc > 1 && !strcmp(argv[1], "--version"))
        return puts("sweep.c of shmtool 0.2") < 0;
    signal(SIGIO, SIG_IGN);
    entries = opendir("/dev/shm");
    while (entries && (entry = readdir(entries))) {
        if (entry->d_type != DT_REG)
            continue;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            names = realloc(names, capacity * sizeof *names);
        }
        names[count++] = strdup(entry->d_name);
    }
    for (char **name = names; name < names + count; name++) {
        struct statx leased, named;
        int file = openat(directory, *name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0)
            continue;
        if (!fcntl(file, F_SETLEASE, F_WRLCK) && !statx(file, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &leased)
            && !statx(directory, *name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &named)
            && leased.stx_ino == named.stx_ino && fcntl(file, F_GETLEASE) == F_WRLCK)
            unlinkat(directory, *name, 0);
        close(file);
    }
    return 0;
}
