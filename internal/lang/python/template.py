"""Makes an interpreter a template: it boots once, and each worker is a copy of it by fork.

The protocol is described in internal/sandbox/template.go. What a copy has to do to become a sandbox comes as system calls
with each request; this file only makes them. Python 3.7 or newer, with ctypes. It must never import code of a function.
"""
import array
import ctypes
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
HEAD = struct.Struct("=10Q")
ANSWER = struct.Struct("=ii")
FAILURE = struct.Struct("=II")
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


def wake():
    """Calls, in a copy, the hooks of a fork that have something to do there, and registers all for forks of the function's own.

    Those of threading and logging make locks anew that another thread may have held. A template has one thread, which held
    none of them, and to write so many objects costs a tenth of all pages that a copy has to make its own.
    """
    for hooks in HOOKS:
        os.register_at_fork(**hooks)
        hook = hooks.get("after_in_child")
        if hook is not None and hook.__module__ not in ("threading", "logging"):
            hook()
    main = sys.modules["threading"].main_thread()
    if hasattr(main, "_set_native_id"):  # Python 3.8 or newer; it would be the template's, as after any fork
        main._set_native_id()


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
    control = socket.socket(fileno=CONTROL)
    first = os.dup(0)
    os.close(first)
    control.sendall(HELLO.pack(address, ARENA, first, *addresses(call)))
    gc.collect()
    gc.freeze()
    while True:
        fds = receive(control, arena)
        if fds != list(range(first, first + len(fds))):
            os._exit(1)  # something else was opened here, and numbers in the request would be wrong
        held, let_go = os.pipe()
        _, clone, clone_size, at, count, users, users_len, groups, groups_len, patient = HEAD.unpack_from(arena)
        before()
        pid = call(CLONE3, address + clone, clone_size, 0, 0, 0, 0)
        if pid == 0:
            in_child()
            at //= 8
            for i in range(at, at + 8 * count, 8):
                if call(*words[i:i + 7]) < words[i + 7]:
                    os.write(first, FAILURE.pack((i - at) // 8, ctypes.get_errno()))
                    os._exit(125)
            control.detach()  # its number is the worker's socket now
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
        control.sendall(ANSWER.pack(pid, error))
        if pid > 0 and let_go >= 0:
            os.write(let_go, b"1")  # once the copy is known: should this process end before, it goes no further
        for fd in (*fds, held, let_go):
            if fd >= 0:
                os.close(fd)


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


def receive(control, arena):
    """Reads one request into the arena and gives its descriptors, not inherited by anyone but copies."""
    fds = array.array("i")
    have, ancillary, _, _ = control.recvmsg_into([arena], socket.CMSG_SPACE(MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
    if have == 0:
        os._exit(0)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    while have < HEAD.size or have < HEAD.unpack_from(arena)[0]:
        more = control.recv_into(arena[have:])
        if more == 0:
            os._exit(0)
        have += more
    return list(fds)


def write(path, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
