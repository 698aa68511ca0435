/* A file system for tests, whose files are hard to read. Usage: fuse DIRECTORY
 *
 * Mounts itself on DIRECTORY, prints "mounted", and answers requests until it is killed. It uses the kernel's protocol,
 * fuse(4), directly, so that no library is needed. Byte i of every file is i modulo 251, until something is written to
 * it. Only small files that are writable can be changed.
 *
 * With SILENT in the environment, it answers no request at all, except the first one of the kernel. It is
 * also silent after SIGUSR1. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FUSE_INIT_EXT
#define FUSE_INIT_EXT (1 << 30)
#endif
/* Since Linux 6.6: bit 36 of the flags, that is, bit 4 of flags2. */
#define ALLOW_MMAP_OF_DIRECT_IO (1 << 4)

enum { KIB = 1024, LENGTH = 8 * KIB };

static char stored[5][LENGTH];

struct file {
    const char *name;
    uint64_t claimed; /* the size that stat(2) reports */
    uint64_t actual;  /* the number of bytes that read(2) returns */
    int cached;       /* if 0, FOPEN_DIRECT_IO: before Linux 6.6 the file cannot be mapped shared */
    uint64_t bad;     /* reads that touch bytes from here ... */
    uint64_t bad_end; /* ... up to here fail with EIO */
    unsigned delay;   /* duration of a read in microseconds */
    char *stored;     /* the contents of a writable file, of LENGTH bytes */
    int bare;         /* its times cannot be set */
    int lossy;        /* fsync(2) fails with EIO */
    int fickle;       /* its inode number is another one at each look */
};

static const struct file files[] = {
    {.name = "direct", .claimed = 50000, .actual = 50000},
    {.name = "more", .claimed = 10, .actual = 5000},
    {.name = "less", .claimed = 5000, .actual = 10, .cached = 1},
    {.name = "torn", .claimed = KIB * KIB, .actual = KIB * KIB, .cached = 1, .bad = 256 * KIB, .bad_end = 512 * KIB},
    {.name = "unreadable", .claimed = 5000, .actual = 5000, .bad_end = 5000},
    {.name = "slow", .claimed = 300 * KIB, .actual = 300 * KIB, .delay = 100000},
    {.name = "stored", .claimed = LENGTH, .actual = LENGTH, .cached = 1, .stored = stored[0]},
    {.name = "stored-direct", .claimed = LENGTH, .actual = LENGTH, .stored = stored[1]},
    {.name = "bare", .claimed = LENGTH, .actual = LENGTH, .cached = 1, .stored = stored[2], .bare = 1},
    {.name = "lossy", .claimed = LENGTH, .actual = LENGTH, .cached = 1, .stored = stored[3], .lossy = 1},
    {.name = "fickle", .claimed = LENGTH, .actual = LENGTH, .cached = 1, .stored = stored[4], .fickle = 1},
};
enum { FILES = sizeof files / sizeof files[0], FIRST_NODE = FUSE_ROOT_ID + 1 };

static int device;
static volatile sig_atomic_t is_silent;

static void be_silent(int signal)
{
    (void)signal;
    is_silent = 1;
}

static void answer(const struct fuse_in_header *request, int error, const void *body, size_t length)
{
    static struct { struct fuse_out_header head; char body[KIB * KIB]; } message;
    message.head.len = sizeof message.head + length;
    message.head.error = -error;
    message.head.unique = request->unique;
    memcpy(message.body, body, length);
    /* ENOENT: the process that sent the request was interrupted. */
    if (write(device, &message, message.head.len) < 0 && errno != ENOENT)
        perror("fuse: answer");
}

static const struct file *file_of(uint64_t node)
{
    return node >= FIRST_NODE && node < FIRST_NODE + FILES ? &files[node - FIRST_NODE] : NULL;
}

static struct fuse_attr attributes(uint64_t node)
{
    const struct file *file = file_of(node);
    struct fuse_attr attributes = {.ino = node, .nlink = 1, .blksize = 4096, .mode = S_IFDIR | 0755};
    if (file) {
        attributes.mode = S_IFREG | 0644;
        attributes.size = file->claimed;
        if (file->fickle) {
            static uint64_t looks;
            attributes.ino = 1000 + looks++;
        }
    }
    return attributes;
}

static void look_up(const struct fuse_in_header *request, const char *name)
{
    struct fuse_entry_out entry = {0};
    for (int i = 0; i < FILES; i++)
        if (strcmp(name, files[i].name) == 0)
            entry.nodeid = FIRST_NODE + i;
    entry.attr = attributes(entry.nodeid);
    answer(request, entry.nodeid ? 0 : ENOENT, &entry, entry.nodeid ? sizeof entry : 0);
}

static void read_file(const struct fuse_in_header *request, const struct fuse_read_in *wanted)
{
    static char bytes[KIB * KIB];
    const struct file *file = file_of(request->nodeid);
    uint64_t start = wanted->offset, end = start + wanted->size;
    if (end > file->actual)
        end = file->actual;
    usleep(file->delay);
    if (start < file->bad_end && end > file->bad) {
        answer(request, EIO, "", 0);
        return;
    }
    for (uint64_t i = start; i < end; i++)
        bytes[i - start] = file->stored ? file->stored[i] : (char)(i % 251);
    answer(request, 0, bytes, start < end ? end - start : 0);
}

static void write_file(const struct fuse_in_header *request, const struct fuse_write_in *wanted)
{
    const struct file *file = file_of(request->nodeid);
    struct fuse_write_out out = {.size = wanted->size};
    if (!file->stored || wanted->offset > LENGTH || wanted->size > LENGTH - wanted->offset) {
        answer(request, EIO, "", 0);
        return;
    }
    memcpy(file->stored + wanted->offset, wanted + 1, wanted->size);
    answer(request, 0, &out, sizeof out);
}

static void serve(const struct fuse_in_header *request)
{
    const void *arguments = request + 1;
    const struct file *file = file_of(request->nodeid);
    if (is_silent && request->opcode != FUSE_INIT)
        return;
    switch (request->opcode) {
    case FUSE_INIT: {
        struct fuse_init_out init = {
            .major = FUSE_KERNEL_VERSION, .minor = 31, .max_readahead = 128 * KIB, .max_write = 64 * KIB,
        };
        if (getenv("ALLOW_MMAP")) {
            init.minor = 39;
            init.flags = FUSE_INIT_EXT;
            /* This is the field flags2, which older headers declare as unused. */
            memcpy((char *)&init + 32, &(uint32_t){ALLOW_MMAP_OF_DIRECT_IO}, 4);
        }
        answer(request, 0, &init, sizeof init);
        break;
    }
    case FUSE_LOOKUP:
        look_up(request, arguments);
        break;
    case FUSE_SETATTR:
        if (!file || !file->stored || file->bare) {
            answer(request, ENOSYS, "", 0);
            break;
        }
        /* fall through */
    case FUSE_GETATTR: {
        struct fuse_attr_out out = {.attr = attributes(request->nodeid)};
        answer(request, 0, &out, sizeof out);
        break;
    }
    case FUSE_STATFS: {
        struct fuse_statfs_out out = {.st = {.bsize = 4096, .namelen = 255}};
        answer(request, 0, &out, sizeof out);
        break;
    }
    case FUSE_OPEN:
    case FUSE_OPENDIR: {
        struct fuse_open_out out = {.open_flags = file && !file->cached ? FOPEN_DIRECT_IO : 0};
        answer(request, 0, &out, sizeof out);
        break;
    }
    case FUSE_READ:
        read_file(request, arguments);
        break;
    case FUSE_WRITE:
        write_file(request, arguments);
        break;
    case FUSE_FSYNC:
        answer(request, file->lossy ? EIO : 0, "", 0);
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        answer(request, 0, "", 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break;
    default:
        answer(request, ENOSYS, "", 0);
    }
}

int main(int argc, char **argv)
{
    static char request[2 * KIB * KIB];
    char options[100];
    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,allow_other", device, getuid(), getgid());
    if (argc != 2 || device < 0 || mount("shmtool-test", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
        perror("fuse");
        return 1;
    }
    is_silent = getenv("SILENT") != NULL;
    for (int i = 0; i < FILES; i++)
        for (int byte = 0; files[i].stored && byte < LENGTH; byte++)
            files[i].stored[byte] = byte % 251;
    signal(SIGUSR1, be_silent);
    puts("mounted");
    fflush(stdout);
    while (read(device, request, sizeof request) >= 0 || errno == EINTR || errno == ENOENT)
        serve((const struct fuse_in_header *)request);
    return 0;
}
