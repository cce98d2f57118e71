"""What a hostile function may try. The event names it: {"do": "fork"}."""
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

NUMBER = [0]
MEMORY = int(os.environ.get("RUNTIME_MEMORY", "128")) << 20


def handler(event, context):
    NUMBER[0] = event.get("n", 0)
    return globals()["do_" + event["do"]]()


def do_echo():
    return {"n": NUMBER[0]}


def do_work():
    """Nothing hostile: a busy function that keeps to its limits."""
    held = bytearray(b"x") * (MEMORY // 2)
    end = time.process_time() + 0.1
    while time.process_time() < end:
        sum(held[:1 << 16])
    return {"n": NUMBER[0]}


def do_fork():
    while True:
        try:
            os.fork()
        except OSError:
            pass


def do_eat():
    held = []
    while True:
        held.append(bytearray(b"x") * (4 << 20))


def do_eat_by_children():
    for _ in range(8):
        if os.fork() == 0:
            held = []
            while True:
                held.append(bytearray(b"x") * (4 << 20))
    time.sleep(600)


def do_share():
    """Nothing hostile: memory that many processes share counts once."""
    held = bytearray(b"x") * (100 << 20)
    children = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            time.sleep(0.5)
            os._exit(held[5] != 120)
        children.append(pid)
    for pid in children:
        if os.waitpid(pid, 0)[1] != 0:
            return "a child was lost"
    return {"n": NUMBER[0]}


def do_hide_memory():
    """Memory that no process has mapped, so that adding up processes does not find it."""
    import ctypes
    number = {"x86_64": 319, "aarch64": 279}[os.uname().machine]  # memfd_create, which older Pythons do not have
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(64):
        fd = libc.syscall(number, b"hidden", 0)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "memfd_create")
        for _ in range(16):
            os.write(fd, b"x" * (1 << 20))
    return "took a gigabyte"


def do_fill():
    with open("/tmp/full", "wb", buffering=0) as f:
        while True:
            f.write(b"x" * (1 << 20))


def do_fill_names():
    n = 0
    while True:
        os.close(os.open("/tmp/%d" % n, os.O_CREAT | os.O_WRONLY))
        n += 1


def do_sleep():
    time.sleep(600)


def do_spin():
    while True:
        pass


def do_close():
    os.closerange(0, 70000)
    return "closed"


def do_exit():
    os._exit(3)


def do_sys_exit():
    sys.exit(3)


def do_abort():
    os.abort()


def do_crash():
    import ctypes
    ctypes.string_at(0)


def do_lines():
    line = "x" * 1023 + "\n"
    block = line * 1024
    for _ in range(1024):
        os.write(1, block.encode())
    return "printed"


def do_line():
    block = b"x" * (1 << 20)
    for _ in range(1024):
        os.write(2, block)
    return "printed"


def control():
    """The socket to the server."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                return int(name)
        except OSError:
            pass
    raise LookupError("no socket")


def do_flood():
    fd, junk = control(), os.urandom(1 << 16)
    while True:
        os.write(fd, junk)


def do_announce():
    """The head of a frame of 4 GB, and then nothing."""
    os.write(control(), struct.pack(">IBBHI", 0xFFFFFFF0, 5, 0, 4, 1))
    time.sleep(600)


def do_half():
    """Half of a frame, and then nothing."""
    os.write(control(), struct.pack(">IBBHI", 5 << 20, 5, 0, 4, 1) + b"x" * 100000)
    time.sleep(600)


def do_forge():
    """The answer to a call that was never made."""
    os.write(control(), struct.pack(">IBBHI", 6, 5, 0, 4, 77) + b"\0\0\0\0{}")
    time.sleep(600)


def do_big():
    return "x" * (7 << 20)


def do_deep():
    value = []
    for _ in range(100000):
        value = [value]
    return value


def do_daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 70000)
            while True:
                pass
        os._exit(0)
    return {"n": NUMBER[0]}


def do_destroy():
    """Removes, overwrites and adds whatever it can outside its own scratch folders; gives what it managed to."""
    done, end = [], time.time() + 2
    for root in ("/opt", "/etc", "/dev", "/var", "/usr", "/bin", "/lib", "/"):
        for folder, folders, files in os.walk(root):
            if time.time() > end:
                break
            if folder.startswith(("/proc", "/tmp", "/dev/shm", "/dev/fd")):
                folders[:] = []
                continue
            try:
                open(os.path.join(folder, "added"), "w").close()
                done.append("added to " + folder)
            except OSError:
                pass
            for name in files:
                path = os.path.join(folder, name)
                if path.startswith("/dev/"):
                    continue
                attempts = [os.remove, lambda p: os.rename(p, p + "x")]
                if not os.path.islink(path):  # which may lead to /dev/null
                    attempts += [lambda p: open(p, "r+b").close(), lambda p: os.chmod(p, 0o777)]
                for attempt in attempts:
                    try:
                        attempt(path)
                        done.append(path)
                    except OSError:
                        pass
    return done[:20]


def do_kill_self():
    os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGSTOP)
    return {"n": NUMBER[0]}


def do_kill_all():
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass
    return {"n": NUMBER[0]}


def do_threads(n=1000):
    stop = threading.Event()
    threading.stack_size(64 << 10)
    threads = [threading.Thread(target=stop.wait) for _ in range(n)]
    for t in threads:
        t.start()
    stop.set()
    for t in threads:
        t.join()
    return n


def do_too_many_threads():
    """Ends by os._exit when it cannot go on, or the waiting threads would keep it."""
    return do_threads(5000)


def do_recurse():
    sys.setrecursionlimit(1 << 30)

    def down(n):
        return down(n + 1)
    threading.stack_size(16 << 20)
    t = threading.Thread(target=down, args=(0,))
    t.start()
    t.join()
    return "came back"


def do_sockets():
    held = []
    while True:
        held.append(socket.socket(socket.AF_UNIX))


def do_spawn():
    """Shells that spawn shells."""
    subprocess.Popen(["/bin/sh", "-c", "f() { f | f & }; f"])
    time.sleep(600)


def do_files():
    held = []
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))


def do_sparse():
    """A file of a terabyte that holds a byte; then as much of it as there is."""
    with open("/tmp/sparse", "wb", buffering=0) as f:
        f.truncate(1 << 40)
        f.seek((1 << 40) - 1)
        f.write(b"x")
        try:
            os.posix_fallocate(f.fileno(), 0, 1 << 40)
            return "got a terabyte"
        except OSError:
            return {"n": NUMBER[0]}


def do_signal_others():
    """Every process that there could be."""
    reached = []
    for pid in range(2, 1 << 16):
        try:
            os.kill(pid, signal.SIGKILL)
            reached.append(pid)
        except OSError:
            pass
    return reached


def do_ask_kernel():
    """System calls that lead out of a sandbox or have often been ways into the kernel; gives those that were let in."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if os.uname().machine != "x86_64":
        return []  # the numbers are those of this machine
    calls = {
        "ptrace": (101, 0, 0, 0, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0, 0), "add_key": (248, b"user", b"k", b"v", 1, -3),
        "keyctl": (250, 0, -3, 1), "userfaultfd": (323, 1), "io_uring": (425, 8, ctypes.create_string_buffer(120)), "bpf": (321, 0, 0, 0),
        "perf": (298, 0, 0, -1, -1, 0), "unshare": (272, 0x10000000), "setns": (308, -1, 0), "mount": (165, b"x", b"/tmp", b"tmpfs", 0, 0),
        "umount": (166, b"/proc", 2), "chroot": (161, b"/tmp"), "pivot_root": (155, b"/tmp", b"/tmp"), "open_tree": (428, -100, b"/", 1),
        "move_mount": (429, -1, b"", -100, b"/tmp", 4), "fsopen": (430, b"tmpfs", 0), "mknod": (133, b"/tmp/d", 0o20666, 0x107),
        "open_by_handle": (304, -1, 0, 0), "init_module": (175, 0, 0, b""), "kexec": (246, 0, 0, 0, 0), "reboot": (169, 0, 0, 0, 0),
        "swapon": (167, b"/tmp/x", 0), "settime": (164, 0, 0), "syslog": (103, 3, 0, 0), "quotactl": (179, 0, 0, 0, 0), "sync": (162,),
        "raw": (41, 2, 3, 1), "packet": (41, 17, 3, 0), "vsock": (41, 40, 5, 0), "pidfd_getfd": (438, -1, 0, 0),
        "clone": (56, 0x10000000 | 17, 0, 0, 0, 0), "clone3": (435, ctypes.byref((ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17)), 64),
        "untie": (157, 1, 0, 0, 0, 0),
    }
    let_in = []
    for name, args in calls.items():
        ctypes.set_errno(0)
        r = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
        if r == 0 and name.startswith("clone"):
            os._exit(0)
        if r >= 0 or ctypes.get_errno() not in (1, 38, 97):  # EPERM, ENOSYS, EAFNOSUPPORT: never looked at
            let_in.append("%s: %d %s" % (name, r, os.strerror(ctypes.get_errno())))
    pid = os.fork()
    if pid == 0:  # a call of the x32 interface, for which a filter may end who makes it
        os._exit(1 if libc.syscall(0x40000000 | 39) >= 0 else 0)
    if os.waitpid(pid, 0)[1] >> 8 == 1:
        let_in.append("x32")
    return let_in


def sequence():
    """The number of the call that runs, from the worker's own frames."""
    frame = sys._getframe()
    while "seq" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["seq"]


def answer(seq, text):
    return struct.pack(">IBBHI", 4 + len(text), 5, 0, 4, seq) + b"\0\0\0\0" + text


def do_answer_twice():
    os.write(control(), answer(sequence(), b'"forged"'))
    return "honest"


def do_answer_ahead():
    """The answer to the next call, whoever makes it."""
    os.write(control(), answer(sequence() + 1, b'"forged"'))
    time.sleep(600)


def do_exit_in_answer():
    os.write(control(), answer(sequence(), b'"%s"' % (b"x" * 1000))[:500])
    os._exit(0)


def do_stop():
    """Stops itself and everything it started. The first process of a pid namespace cannot be stopped from inside, its threads neither."""
    for _ in range(8):
        if os.fork() == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
    os.kill(0, signal.SIGSTOP)
    os.kill(-1, signal.SIGSTOP)
    time.sleep(600)
