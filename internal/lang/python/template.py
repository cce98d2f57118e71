"""Makes an interpreter a template: it boots once, and each worker is a copy of it by fork.

The protocol is described in internal/sandbox/template.go. What a copy has to do to become a sandbox is sent
to it as system calls; this file only makes them. Python 3.7 or newer, with ctypes. It must never import code of a function.
"""
import ctypes
import errno
import gc
import importlib
import os
import socket
import struct
import sys

CONTROL = 3
CLONE3 = 435  # the same on every architecture
GET_TID_ADDRESS = 40  # prctl
GET_ROBUST_LIST = {"x86_64": 274, "aarch64": 100}
HELLO = struct.Struct("=6Q")
HEAD = struct.Struct("=8Q")
PROGRAM = struct.Struct("=3Q")
ANSWER = struct.Struct("=ii")
FAILURE = struct.Struct("=II")
NO_CALL = 0xFFFFFFFF
ARENA = 32 << 10
MAX_FDS = 64

# What most functions import, so that it is there when they do. Not what keeps secrets or runs threads (multiprocessing),
# and nothing that takes longer to copy than it saves.
COMMON = (
    "base64", "collections", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "enum", "functools", "gzip",
    "hashlib", "hmac", "http.client", "io", "itertools", "logging", "math", "operator", "queue", "random", "re", "secrets",
    "shutil", "socket", "ssl", "string", "subprocess", "tempfile", "textwrap", "threading", "traceback", "typing",
    "urllib.parse", "urllib.request", "uuid", "zlib",
)


HOOKS = []  # what os.register_at_fork was asked for while the common modules were imported
WAKES = []  # what of that is to be done in a copy
KEPT = []  # what a copy would else let go of when it becomes a worker, which writes to the pages of all of it


def imports():
    """Imports what is common."""
    register = os.register_at_fork
    os.register_at_fork = lambda **hooks: HOOKS.append(hooks)
    for name in COMMON:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # this interpreter was built without it
    os.register_at_fork = register
    WAKES.extend(filter(None, (short(hooks.get("after_in_child")) for hooks in HOOKS)))
    threading = sys.modules["threading"]
    main = threading.main_thread()
    if hasattr(main, "_native_id"):  # Python 3.8 or newer; it would be the template's, as after any fork
        WAKES.append(lambda: setattr(main, "_native_id", threading.get_native_id()))


def short(hook):
    """Gives what a hook does that has to be done in a copy; None for nothing.

    Those of threading and logging make locks anew that another thread may have held. A template has one thread, which held
    none of them, and to write so many objects costs a tenth of all pages that a copy has to make its own. That of random
    does by a method in Python what its base does alone.
    """
    if hook is None or hook.__module__ in ("threading", "logging"):
        return None
    random = sys.modules.get("random")
    if random and getattr(hook, "__func__", None) is random.Random.seed:
        return super(random.Random, hook.__self__).seed
    return hook


def wake():
    """Calls, in a copy, the hooks of a fork that have something to do there, and registers all for forks of the function's own."""
    for hooks in HOOKS:
        os.register_at_fork(**hooks)
    for hook in WAKES:
        hook()


def wait():
    """Serves requests until the stream ends, which ends the process.

    Returns in each copy, ready to be a worker, and tells whether the copy is made ahead: nobody waits for it then.
    """
    # Found ahead: a copy that has to look them up pays for it each time.
    before, in_child, in_parent = [getattr(ctypes.pythonapi, "PyOS_" + name) for name in ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")]
    before()
    in_child()  # with one thread there is no difference; what it does for the first time is done then
    # PyDLL keeps the interpreter's lock, so that a copy has it as the thread that made it had.
    call = ctypes.PyDLL(None, use_errno=True).syscall
    call.argtypes, call.restype = [ctypes.c_long] * 7, ctypes.c_long
    room = (ctypes.c_int64 * (ARENA // 8))()
    arena, words = memoryview(room).cast("B"), memoryview(room).cast("B").cast("q")
    address = ctypes.addressof(room)
    hear = ear(address, words)
    first = os.dup(0)
    os.close(first)
    os.write(CONTROL, HELLO.pack(address, ARENA, first, *addresses(call)))
    KEPT.extend((before, in_child, in_parent, call, room, arena, words, hear))
    gc.collect()
    gc.freeze()
    while True:
        fds = hear(first)
        if fds is None:
            os._exit(1)
        held, let_go = os.pipe()
        _, clone, clone_size, users, users_len, groups, groups_len, patient = HEAD.unpack_from(arena)
        before()
        pid = call(CLONE3, address + clone, clone_size, 0, 0, 0, 0)
        if pid == 0:
            in_child()
            os.dup2(first + 1, CONTROL)  # the template's is none of its business
            if hear(let_go + 1) is None:
                fail(first, NO_CALL, errno.EBADF)
            _, at, count = PROGRAM.unpack_from(arena)
            at //= 8
            for i in range(at, at + 8 * count, 8):
                if call(*words[i:i + 7]) < words[i + 7]:
                    fail(first, (i - at) // 8, ctypes.get_errno())
            wake()
            return patient != 0
        in_parent()
        error = ctypes.get_errno() if pid < 0 else 0
        if pid > 0:
            try:
                if users_len:  # the copy is in a user namespace of its own
                    write("/proc/%d/uid_map" % pid, arena[users:users + users_len])
                    write("/proc/%d/gid_map" % pid, arena[groups:groups + groups_len])
            except OSError:
                os.close(let_go)  # the copy finds the pipe closed and says so
                let_go = -1
        os.write(CONTROL, ANSWER.pack(pid, error))
        if pid > 0 and let_go >= 0:
            os.write(let_go, b"1")  # once the copy is known: should this process end before, it goes no further
        for fd in (*fds, held, let_go):
            if fd >= 0:
                os.close(fd)


def fail(report, call, error):
    """Ends a copy that cannot become what it should."""
    os.write(report, FAILURE.pack(call, error))
    os._exit(125)


def addresses(call):
    """Where the C library keeps what the kernel must know of a copy's thread: its id, and its list of robust locks."""
    tid, robust, robust_len = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
    libc = ctypes.PyDLL(None)
    if libc.prctl(GET_TID_ADDRESS, ctypes.byref(tid), 0, 0, 0) != 0:
        tid.value = 0
    number = GET_ROBUST_LIST.get(os.uname().machine)
    if number is None or call(number, 0, ctypes.addressof(robust), ctypes.addressof(robust_len), 0, 0, 0) != 0:
        robust.value = 0
    return tid.value, robust.value, robust_len.value


def ear(address, words):
    """Gives what reads one message into the arena, which is at an address and seen as words.

    It calls the C library itself: what the socket module makes for each message are pages that a copy has to make its own,
    a tenth of a millisecond of them.
    """
    libc = ctypes.PyDLL(None)
    for f, types in ((libc.recvmsg, [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]), (libc.read, [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t])):
        f.argtypes, f.restype = types, ctypes.c_ssize_t
    recvmsg, read = libc.recvmsg, libc.read
    room = (ctypes.c_int64 * 2)(address, ARENA)  # struct iovec
    control = (ctypes.c_int64 * (2 + MAX_FDS // 2))()  # struct cmsghdr: length, level and type; then descriptors
    head = (ctypes.c_int64 * 7)(0, 0, ctypes.addressof(room), 1, ctypes.addressof(control))  # struct msghdr
    at, size, sent = ctypes.addressof(head), ctypes.sizeof(control), memoryview(control).cast("B").cast("i")[4:]

    def hear(first):
        """Gives the descriptors that came, not inherited by anyone but copies; None when they do not have the numbers from first on.

        Then something else was opened, and numbers in the message would be wrong. The end of the stream ends the process.
        """
        control[0], head[5] = 16, size
        have = recvmsg(CONTROL, at, socket.MSG_CMSG_CLOEXEC)
        while 0 < have < 8 or 0 < have < words[0]:
            more = read(CONTROL, address + have, ARENA - have)
            have = have + more if more > 0 else 0
        if have <= 0:
            os._exit(0)
        fds = range(first, first + (control[0] - 16) // 4)
        return fds if sent[:len(fds)].tolist() == list(fds) else None

    hear.holds = room, control  # the kernel is given their addresses
    return hear


def write(path, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
