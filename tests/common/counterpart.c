/* Uses shared memory the way that textbooks do, to test that shmtool works with other programs.
 *
 *   counterpart write NAME VALUE          creates the object and stores an int
 *   counterpart read NAME                 prints the int
 *   counterpart hold NAME                 maps the object, then prints its int for each line of input
 *   counterpart inherited FD              like hold, for a descriptor that it has inherited
 *   counterpart assign NAME               maps the object, then stores each line of input and prints it
 *   counterpart leaderless NAME           like hold, but in a second thread, after the main thread has exited
 *   counterpart add NAME COUNT            adds 1 to the int, COUNT times
 *   counterpart share NAME COUNT LIMIT    COUNT times, takes one of the slots that the int counts, and gives it back. The
 *                                         next int counts those who have a slot; fails if they are more than LIMIT
 *   counterpart store TYPE NAME OFFSET VALUE
 *   counterpart load TYPE NAME OFFSET     store or print an integer of any type, at an offset
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void *map_descriptor(int fd, int flags);

static void *map(const char *name, int flags, size_t size)
{
    int fd = shm_open(name, flags, 0600);
    if (fd < 0) {
        perror("shm_open");
        exit(1);
    }
    if ((flags & O_CREAT) && ftruncate(fd, size) < 0) {
        perror("ftruncate");
        exit(1);
    }
    return map_descriptor(fd, flags);
}

static void *map_descriptor(int fd, int flags)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        perror("fstat");
        exit(1);
    }
    int access = (flags & O_ACCMODE) == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ;
    void *address = mmap(NULL, st.st_size, access, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    close(fd);
    return address;
}

static void *answer_lines(void *p)
{
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        printf("%d\n", *(volatile int *)p);
        fflush(stdout);
    }
    exit(0);
}

#define EACH_TYPE(DO)                                                                             \
    DO(i8, int8_t, PRId8, strtoll) DO(u8, uint8_t, PRIu8, strtoull)                                \
    DO(i16, int16_t, PRId16, strtoll) DO(u16, uint16_t, PRIu16, strtoull)                          \
    DO(i32, int32_t, PRId32, strtoll) DO(u32, uint32_t, PRIu32, strtoull)                          \
    DO(i64, int64_t, PRId64, strtoll) DO(u64, uint64_t, PRIu64, strtoull)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        int *p = map(argv[2], O_CREAT | O_RDWR, sizeof(int));
        *p = atoi(argv[3]);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "read") == 0) {
        int *p = map(argv[2], O_RDONLY, 0);
        printf("%d\n", *p);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "hold") == 0) {
        answer_lines(map(argv[2], O_RDONLY, 0));
    }
    if (argc == 3 && strcmp(argv[1], "inherited") == 0) {
        answer_lines(map_descriptor(atoi(argv[2]), O_RDWR));
    }
    if (argc == 3 && strcmp(argv[1], "leaderless") == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, answer_lines, map(argv[2], O_RDONLY, 0)) != 0)
            return 1;
        pthread_exit(NULL);
    }
    if (argc == 3 && strcmp(argv[1], "assign") == 0) {
        volatile int *p = map(argv[2], O_RDWR, 0);
        char line[64];
        while (fgets(line, sizeof line, stdin)) {
            *p = atoi(line);
            printf("%d\n", *p);
            fflush(stdout);
        }
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "add") == 0) {
        int *p = map(argv[2], O_RDWR, 0);
        for (int i = atoi(argv[3]); i > 0; i--)
            __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "share") == 0) {
        int *slots = map(argv[2], O_RDWR, 0), *holders = slots + 1;
        for (int i = atoi(argv[3]); i > 0; i--) {
            int seen = __atomic_load_n(slots, __ATOMIC_SEQ_CST);
            while (seen < 1
                   || !__atomic_compare_exchange_n(slots, &seen, seen - 1, 0, __ATOMIC_SEQ_CST,
                                                   __ATOMIC_SEQ_CST)) {
                usleep(500);
                seen = __atomic_load_n(slots, __ATOMIC_SEQ_CST);
            }
            if (__atomic_add_fetch(holders, 1, __ATOMIC_SEQ_CST) > atoi(argv[4]))
                return 1;
            usleep(500);
            __atomic_fetch_sub(holders, 1, __ATOMIC_SEQ_CST);
            __atomic_fetch_add(slots, 1, __ATOMIC_SEQ_CST);
        }
        return 0;
    }
#define STORE(name, type, format, parse)                                                          \
    if (argc == 6 && strcmp(argv[1], "store") == 0 && strcmp(argv[2], #name) == 0) {               \
        type value = (type)parse(argv[5], NULL, 10);                                               \
        memcpy((char *)map(argv[3], O_RDWR, 0) + atol(argv[4]), &value, sizeof value);             \
        return 0;                                                                                  \
    }
#define LOAD(name, type, format, parse)                                                           \
    if (argc == 5 && strcmp(argv[1], "load") == 0 && strcmp(argv[2], #name) == 0) {                \
        type value;                                                                                \
        memcpy(&value, (char *)map(argv[3], O_RDONLY, 0) + atol(argv[4]), sizeof value);           \
        printf("%" format "\n", value);                                                            \
        return 0;                                                                                  \
    }
    EACH_TYPE(STORE)
    EACH_TYPE(LOAD)
    fprintf(stderr, "counterpart: unknown command\n");
    return 2;
}
