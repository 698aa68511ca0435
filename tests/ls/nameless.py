# Holds shared memory without a name, for the tests of `ls --nameless`.
#
# Each argument makes one piece of memory, in this order:
#   open=LABEL      a memfd of 5000 bytes with a descriptor; LABEL is in hexadecimal
#   mapped=LABEL    the same, but mapped, and without a descriptor
#   private=LABEL   the same, but with a private mapping
#   anonymous       a shared anonymous mapping of 3 pages, of which one is used
#   zero            a shared mapping of /dev/zero of one page
#   private-zero    a private mapping of /dev/zero, and its descriptor
#   segment=KEY     a System V segment of 8192 bytes, attached
#   lonely=KEY      a System V segment of 4096 bytes that nobody attaches
#   removed         marks the last segment for removal
#   fork            a child that inherits everything so far
#   user            becomes an unprivileged user
#
# Prints the process IDs of itself and its children, and waits for a line.
import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.shmat.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
READ_WRITE, SHARED, PRIVATE, ANONYMOUS = 3, 1, 2, 32
IPC_CREAT, IPC_RMID = 0o1000, 0


def check(result):
    if result in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "failed")
    return result


def memfd(label):
    fd = os.memfd_create(os.fsdecode(bytes.fromhex(label)))
    os.write(fd, b"x" * 5000)
    return fd


def mmap(size, flags, fd=-1):
    # Not the mmap module, because it duplicates the descriptor.
    return check(libc.mmap(None, size, READ_WRITE, flags, fd, 0))


pids = [os.getpid()]
segment = None
for argument in sys.argv[1:]:
    kind, _, value = argument.partition("=")
    if kind == "open":
        memfd(value)
    elif kind in ("mapped", "private"):
        fd = memfd(value)
        mmap(5000, SHARED if kind == "mapped" else PRIVATE, fd)
        os.close(fd)
    elif kind == "anonymous":
        ctypes.memset(mmap(3 * 4096, SHARED | ANONYMOUS), 1, 1)
    elif kind in ("zero", "private-zero"):
        fd = os.open("/dev/zero", os.O_RDWR)
        mmap(4096, SHARED if kind == "zero" else PRIVATE, fd)
    elif kind in ("segment", "lonely"):
        size = 8192 if kind == "segment" else 4096
        segment = check(libc.shmget(int(value, 0), size, IPC_CREAT | 0o640))
        if kind == "segment":
            ctypes.memset(check(libc.shmat(segment, None, 0)), 1, 1)
    elif kind == "removed":
        check(libc.shmctl(segment, IPC_RMID, None))
    elif kind == "fork":
        child = os.fork()
        if child == 0:
            sys.stdin.read()
            os._exit(0)
        pids.append(child)
    elif kind == "user":
        os.setgid(65534)
        os.setuid(65534)
        # PR_SET_DUMPABLE: a process that changes its user hides itself from that user.
        check(libc.prctl(4, 1, 0, 0, 0))
    else:
        raise ValueError(argument)
print(*pids, flush=True)
sys.stdin.readline()
