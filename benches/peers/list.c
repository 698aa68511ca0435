// The least that a program must do to print what `shmtool ls` prints: it makes the same system calls, but it formats and
// checks less.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct object {
    char *name;
    unsigned long long size, allocated;
    unsigned mode, uid;
    time_t modified;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct object *)a)->name, ((const struct object *)b)->name);
}

int main(int argc, char **argv)
{
    DIR *directory;
    struct dirent *entry;
    struct object *objects = NULL;
    size_t count = 0, capacity = 0;
    time_t now;
    struct passwd *user;
    struct statx stat;
    if (argc > 1 && !strcmp(argv[1], "--version"))
        return puts("list.c of shmtool 0.2") < 0;
    directory = opendir("/dev/shm");
    while (directory && (entry = readdir(directory))) {
        if (entry->d_type != DT_REG)
            continue;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            objects = realloc(objects, capacity * sizeof *objects);
        }
        if (statx(dirfd(directory), entry->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &stat))
            continue;
        objects[count++] = (struct object) { strdup(entry->d_name), stat.stx_size, stat.stx_blocks * 512,
            stat.stx_mode & 0777, stat.stx_uid, stat.stx_mtime.tv_sec };
    }
    qsort(objects, count, sizeof *objects, compare);
    now = time(NULL);
    user = getpwuid(0);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    for (struct object *object = objects; object < objects + count; object++)
        printf("/%-30s %8llu %8llu %03o %s %lds\n", object->name, object->size, object->allocated, object->mode,
            user && object->uid == user->pw_uid ? user->pw_name : "?", (long)(now - object->modified));
    return 0;
}
