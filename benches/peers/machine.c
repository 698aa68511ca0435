// The least that a program must do to answer what `shmtool ls --everywhere`, `--nameless` and `--summary` answer: it
// reads the same files in /proc and makes the same forks and system calls, but it filters, sorts and checks less.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <grp.h>
#include <unistd.h>

static char buffer[1 << 20];

static size_t slurp(int directory, const char *path)
{
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t count;
    if (fd < 0)
        return 0;
    while (length < sizeof buffer - 1 && (count = read(fd, buffer + length, sizeof buffer - 1 - length)) > 0)
        length += count;
    close(fd);
    buffer[length] = 0;
    return length;
}

static int status(int directory, const char *path, int flags, struct statx *stat)
{
    return statx(directory, path, flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID, stat);
}

static unsigned long inode(const char *path)
{
    struct statx stat;
    return status(AT_FDCWD, path, 0, &stat) ? 0 : stat.stx_ino;
}

struct view {
    unsigned long mounts, users, root;
    int pid;
    int init;
    unsigned long long start;
};

static int list_directory(int place, int pid)
{
    int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fdopendir(fd);
    struct dirent *entry;
    struct statx stat;
    while (directory && (entry = readdir(directory)))
        if (entry->d_type == DT_REG && !status(place, entry->d_name, AT_SYMLINK_NOFOLLOW, &stat))
            printf("%s pid:%d %llu %llu %o %u\n", entry->d_name, pid, stat.stx_size, stat.stx_blocks, stat.stx_mode, stat.stx_uid);
    if (directory)
        closedir(directory);
    close(place);
    return 0;
}

// Finds the directory in a child, and sends its descriptor.
static void child(int socket, int root, int mounts)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED };
    int place;
    struct statx stat;
    char control[CMSG_SPACE(sizeof place)] = { 0 };
    struct iovec bytes = { "x", 1 };
    struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    prctl(PR_SET_PDEATHSIG, 9);
    prctl(PR_SET_DUMPABLE, 0);
    setgroups(0, NULL);
    place = syscall(SYS_openat2, root, "dev/shm", &how, sizeof how);
    while (read(mounts, buffer, sizeof buffer) > 0)
        ;
    status(place, "", AT_EMPTY_PATH, &stat);
    faccessat(place, ".", R_OK | X_OK, AT_EACCESS);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof place);
    memcpy(CMSG_DATA(header), &place, sizeof place);
    sendmsg(socket, &message, 0);
    _exit(0);
}

static int everywhere(void)
{
    static struct view groups[4096];
    int count = 0, running = 0;
    unsigned long own = inode("/proc/self/ns/mnt");
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    char path[64];
    while ((entry = readdir(proc))) {
        struct view group = { .pid = atoi(entry->d_name) };
        int i;
        if (!group.pid)
            continue;
        snprintf(path, sizeof path, "/proc/%d/ns/mnt", group.pid);
        group.mounts = inode(path);
        // 0: it may not be inspected.
        if (group.mounts == own || !group.mounts)
            continue;
        snprintf(path, sizeof path, "/proc/%d/root", group.pid);
        group.root = inode(path);
        snprintf(path, sizeof path, "/proc/%d/ns/user", group.pid);
        group.users = inode(path);
        snprintf(path, sizeof path, "/proc/%d/status", group.pid);
        slurp(AT_FDCWD, path);
        group.init = strstr(buffer, "NSpid:") != NULL;
        snprintf(path, sizeof path, "/proc/%d/stat", group.pid);
        slurp(AT_FDCWD, path);
        for (i = 0; i < count; i++)
            if (groups[i].mounts == group.mounts && groups[i].users == group.users && groups[i].root == group.root)
                break;
        if (i == count)
            groups[count++] = group;
    }
    closedir(proc);
    list_directory(open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC), 0);
    for (int next = 0; next < count || running;) {
        static int sockets[8], pids[8], owners[8];
        while (running < 8 && next < count) {
            int pair[2], process, root, mounts, ns, users;
            struct statx stat;
            snprintf(path, sizeof path, "/proc/%d", groups[next].pid);
            process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
            root = openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
            ns = openat(process, "ns/mnt", O_RDONLY | O_CLOEXEC);
            users = openat(process, "ns/user", O_RDONLY | O_CLOEXEC);
            mounts = openat(process, "mountinfo", O_RDONLY | O_CLOEXEC);
            slurp(process, "uid_map");
            slurp(process, "gid_map");
            slurp(process, "cgroup");
            close(ioctl(ns, 0xb701));
            status(users, "", AT_EMPTY_PATH, &stat);
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
            owners[running] = groups[next++].pid;
            pids[running] = fork();
            if (!pids[running]) {
                dup2(pair[1], 3);
                syscall(SYS_close_range, 1024, ~0U, 0);
                child(pair[1], root, mounts);
            }
            close(pair[1]);
            close(process), close(root), close(ns), close(users), close(mounts);
            sockets[running++] = pair[0];
        }
        struct pollfd polls[8];
        for (int i = 0; i < running; i++)
            polls[i] = (struct pollfd) { .fd = sockets[i], .events = POLLIN };
        poll(polls, running, 5000);
        for (int i = running - 1; i >= 0; i--) {
            char byte, control[CMSG_SPACE(sizeof(int))];
            struct iovec bytes = { &byte, 1 };
            struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
            struct statx stat;
            int place;
            if (!polls[i].revents)
                continue;
            // The other process may have ended.
            place = -1;
            if (recvmsg(sockets[i], &message, MSG_CMSG_CLOEXEC) > 0 && message.msg_controllen)
                memcpy(&place, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof place);
            status(place, ".", 0, &stat);
            waitpid(pids[i], NULL, 0);
            list_directory(place, owners[i]);
            close(sockets[i]);
            running--;
            sockets[i] = sockets[running], pids[i] = pids[running], owners[i] = owners[running];
        }
    }
    return 0;
}

// Reads the mounts of the mount namespace of a process, if it was not seen before.
static void read_mounts(int pid)
{
    static unsigned long mounts[4096];
    static int count = 0;
    unsigned long namespace;
    char path[64];
    int i;
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
    namespace = inode(path);
    for (i = 0; i < count && mounts[i] != namespace; i++)
        ;
    if (i < count || count == 4096)
        return;
    mounts[count++] = namespace;
    snprintf(path, sizeof path, "/proc/%d/mountinfo", pid);
    slurp(AT_FDCWD, path);
}

// Reads the mappings and descriptors of all processes, and prints those on the device of shared memory without a name.
static int scan(int summary)
{
    struct statx own, file;
    char device[16], path[64];
    unsigned long long sum = 0;
    int memfd = memfd_create("x", MFD_CLOEXEC);
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    status(memfd, "", AT_EMPTY_PATH, &own);
    snprintf(device, sizeof device, " %02x:%02x ", own.stx_dev_major, own.stx_dev_minor);
    close(memfd);
    if (summary)
        slurp(AT_FDCWD, "/proc/sys/vm/stat_refresh");
    else {
        // An unlinked object of a container has a device number that only the mounts there tell. It must be known before
        // the mappings of the first process are read.
        while ((entry = readdir(proc)))
            if (atoi(entry->d_name))
                read_mounts(atoi(entry->d_name));
        rewinddir(proc);
    }
    while ((entry = readdir(proc))) {
        int pid = atoi(entry->d_name), found = 0, fds;
        DIR *directory;
        struct dirent *one;
        if (!pid)
            continue;
        snprintf(path, sizeof path, "/proc/%d/maps", pid);
        slurp(AT_FDCWD, path);
        for (char *line = buffer; (line = strstr(line, device)); line++) {
            char link[128], *start = line;
            unsigned long from, to;
            while (start > buffer && start[-1] != '\n')
                start--;
            sscanf(start, "%lx-%lx", &from, &to);
            snprintf(link, sizeof link, "/proc/%d/map_files/%lx-%lx", pid, from, to);
            if (!status(AT_FDCWD, link, 0, &file))
                sum += file.stx_blocks, found = 1;
        }
        snprintf(path, sizeof path, "/proc/%d/fd", pid);
        fds = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        directory = fds < 0 ? NULL : fdopendir(fds);
        while (directory && (one = readdir(directory)))
            if (one->d_name[0] != '.' && !status(fds, one->d_name, 0, &file) && file.stx_dev_major == own.stx_dev_major
                && file.stx_dev_minor == own.stx_dev_minor)
                sum += file.stx_blocks, found = 1;
        if (directory)
            closedir(directory);
        if (found && !summary) {
            snprintf(path, sizeof path, "/proc/%d/status", pid);
            slurp(AT_FDCWD, path);
            snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
            slurp(AT_FDCWD, path);
            printf("%d %llu %s\n", pid, sum, buffer);
        }
        if (summary) {
            snprintf(path, sizeof path, "/proc/%d/ns/ipc", pid);
            inode(path);
            read_mounts(pid);
        }
    }
    closedir(proc);
    slurp(AT_FDCWD, "/proc/sysvipc/shm");
    list_directory(open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC), 0);
    if (summary) {
        struct statvfs space;
        statvfs("/dev/shm", &space);
        slurp(AT_FDCWD, "/proc/meminfo");
        printf("%llu %s\n", sum, strstr(buffer, "Shmem:"));
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--version"))
        return puts("machine.c of shmtool 0.2") < 0;
    if (argc > 1 && !strcmp(argv[1], "everywhere"))
        return everywhere();
    return scan(argc > 1 && !strcmp(argv[1], "summary"));
}
