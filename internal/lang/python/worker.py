"""Runs a Python function for hanshu: waits for calls on a socket, hands them to the handler, sends back what it returns.

The protocol is described in internal/lang/protocol.go, the contract of handlers in FunctionGraph reference 5.2.
Python 3.6 or newer, standard library only. Imports are few because each one delays the first start: traceback is imported
with the first error, and logging is left to the function.
"""
import collections
import importlib
import importlib.machinery
import json
import os
import resource
import struct
import sys
import time

HEAD = struct.Struct(">IBBHI")  # size, type, zero, size of meta, sequence number
DEADLINE = struct.Struct(">Q")
PEAK = struct.Struct(">I")
READY, LOAD, LOADED, CALL, RESULT, FAILED, BEAT, BEATEN, STOP, STOPPED = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
FAIL_LOAD, FAIL_INIT, FAIL_EXCEPTION, FAIL_LAST, FAIL_RESULT, FAIL_TOO_LARGE = b"l", b"i", b"x", b"e", b"r", b"t"
CHUNK = 64 << 10  # one read takes a whole small frame

HERE = (lambda: 0).__code__.co_filename  # as frames of this file name it
FOLDER = os.path.dirname(os.path.abspath(HERE))
SHARED, LOGS, GATEWAY = (os.path.join(FOLDER, name + ".py") for name in ("shared", "logs", "gateway"))
SYSTEM_PATH = list(sys.path)
PID = os.getpid()
AHEAD = frozenset()  # modules that were imported only for the function's sake
DECODE = json.JSONDecoder().decode
ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
OUTPUT = None  # where log lines go
HOOKED = False  # the logging module that was imported ahead of time logs there already

MAX_MESSAGE = 32 << 10  # characters of an error's message
MAX_STACK = 200  # lines of a stack
MAX_LINE = 2000  # characters of one


class Context(object):
    """What a handler gets beside the event. What is the same for all calls stands on the class, set by _prepare."""

    alias = workflow_id = workflow_run_id = workflow_state_id = ""
    workflow_attempt = 0

    def __init__(self, request_id, deadline):
        self.request_id = request_id
        self._deadline = deadline  # Unix milliseconds

    @classmethod
    def _prepare(cls, load, logger):
        cls.project_id = load["project_id"]
        cls.package = load["package"]
        cls.function_name = load["function"]
        cls.version = cls.function_version = load["version"]
        cls.memory_size = load["memory_mb"]
        cls.cpu_number = load["cpu_millis"]
        cls.timeout = load["timeout_s"]
        cls.user_data = load["user_data"] or {}
        cls._credit(load)
        cls.logger = logger

    @classmethod
    def _credit(cls, said):
        cls.access_key = cls.security_access_key = said["access_key"]
        cls.secret_key = cls.security_secret_key = said["secret_key"]
        cls.security_token = said["security_token"]
        cls.token = said["auth_token"]

    def getRequestID(self):
        return self.request_id

    def getRemainingTimeInMilliSeconds(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def getRunningTimeInSeconds(self):
        """The timeout of the function: that is what FunctionGraph means by this name."""
        return self.timeout

    def getAccessKey(self):
        return self.access_key

    def getSecretKey(self):
        return self.secret_key

    def getSecurityAccessKey(self):
        return self.security_access_key

    def getSecuritySecretKey(self):
        return self.security_secret_key

    def getSecurityToken(self):
        return self.security_token

    def getToken(self):
        return self.token

    def getUserData(self, key, default=None):
        return self.user_data.get(key, default)

    def getFunctionName(self):
        return self.function_name

    def getVersion(self):
        return self.version

    def getMemorySize(self):
        return self.memory_size

    def getCPUNumber(self):
        return self.cpu_number

    def getProjectID(self):
        return self.project_id

    def getPackage(self):
        return self.package

    def getLogger(self):
        return self.logger

    def getAlias(self):
        return self.alias

    def getWorkflowID(self):
        return self.workflow_id

    def getWorkflowRunID(self):
        return self.workflow_run_id

    def getWorkflowStateID(self):
        return self.workflow_state_id

    def getWorkflowAttempt(self):
        return self.workflow_attempt


class Output(object):
    """Standard output and error of the function, line by line into the pipe."""

    def __init__(self):
        self.out = sys.stdout = sys.__stdout__ = self.open(1)
        self.err = sys.stderr = sys.__stderr__ = self.open(2)

    @staticmethod
    def open(fd):
        return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)

    def log(self, number, text):
        line = "\x1e" + logs.level_letter(number) + text.replace("\n", "\x1f") + "\n"
        try:
            self.out.write(line)
        except (OSError, ValueError):
            pass  # the function has closed its output, so nobody can read this

    def flush(self):
        for stream in (self.out, self.err):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # closed by the function


class Peak(object):
    """The highest resident memory of this process, in KiB."""

    def __init__(self):
        self._status = None
        self._inherited = 0
        if HOOKED:
            return  # the kernel counts a copy's from the fork on
        # The kernel hands on the figure of getrusage from the program that started this one. It tells nothing before
        # this process has outgrown it, and until then the slower /proc is asked.
        inherited = self.usage()
        try:
            self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
            self._inherited = inherited if inherited > self.status() + 1024 else 0
        except (OSError, ValueError, IndexError):
            pass  # no /proc here

    @staticmethod
    def usage():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def status(self):
        return int(os.pread(self._status, 4096, 0).split(b"VmHWM:", 1)[1].split(None, 1)[0])

    def __call__(self):
        kib = self.usage()
        if kib > self._inherited:
            return kib
        try:
            return self.status()
        except (OSError, ValueError, IndexError):
            return 0  # the function has closed it


def log(number, text):
    OUTPUT.log(number, text)


def leave(code, output=None):
    """Ends the process without waiting for threads that the function left behind."""
    if output is not None:
        output.flush()
    os._exit(code)


def receive(fd):
    """Waits for a frame: (type, seq, meta, body). The end of the stream ends the process."""
    data = b""
    while True:
        try:
            want = CHUNK
            if len(data) >= HEAD.size:
                size, kind, _, meta, seq = HEAD.unpack_from(data)
                missing = HEAD.size + size - len(data)
                if missing <= 0:
                    break
                want = max(CHUNK, min(missing, 1 << 20))
            more = os.read(fd, want)
            if not more:
                leave(0)
            if not data:
                data = more
            else:
                if isinstance(data, bytes):
                    data = bytearray(data)
                data += more
        except OSError:
            leave(1)
        except BaseException as e:  # a signal handler of the function raised between calls
            print("exception outside a call: %s" % type(e).__name__, file=sys.__stderr__)
    meta += HEAD.size
    return kind, seq, data[HEAD.size:meta], data[meta:]


def send(fd, kind, seq, meta, body):
    """Sends a frame, in one system call when the socket takes it.

    Any trouble ends the process, since half a frame is of no use. That holds for a signal handler of the function, too, when
    it raises just here.
    """
    if os.getpid() != PID:
        leave(0)  # a child that the handler forked came back from it
    try:
        head = HEAD.pack(len(meta) + len(body), kind, 0, len(meta), seq) + meta
        sent = os.writev(fd, (head, body))
        if sent < len(head) + len(body):
            rest = memoryview(head + body)[sent:]
            while rest:
                rest = rest[os.write(fd, rest):]
    except BaseException:
        leave(1)


def describe(kind, error):
    """Makes a Failure of an exception, whatever it is: bounded, without the frames of this file."""
    stack = []
    if kind != FAIL_RESULT:
        try:
            stack = format_stack(error)
        except BaseException:
            pass  # the message alone, then
    try:
        message = str(error)
    except BaseException:
        message = "<the message of this exception cannot be printed>"
    if kind == FAIL_RESULT:
        message = "the result cannot be written as JSON: " + message
    return failure(type(error).__name__, message, stack)


def failure(kind, message, stack=()):
    if len(message) > MAX_MESSAGE:
        message = message[:MAX_MESSAGE] + "..."
    return json.dumps({"errorMessage": message, "errorType": kind, "stackTrace": list(stack)}).encode("ascii")


def format_stack(error):
    hide_ours(error, set())
    path = sys.path[:]
    sys.path[:] = SYSTEM_PATH  # a module of the function must not take the place of one that traceback needs
    try:
        import traceback
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
    finally:
        sys.path[:] = path
    if len(lines) > MAX_STACK:
        half = MAX_STACK // 2
        lines[half:-half] = ["... %d lines left out ..." % (len(lines) - 2 * half)]
    return [line[:MAX_LINE] for line in lines]


def hide_ours(error, seen):
    """Cuts the frames of this file off the front of an exception and of those it came from."""
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        tb = error.__traceback__
        while tb is not None and is_ours(tb.tb_frame.f_code.co_filename):
            tb = tb.tb_next
        error.__traceback__ = tb
        hide_ours(error.__cause__, seen)
        error = error.__context__


def is_ours(filename):
    return filename in (HERE, SHARED, LOGS, GATEWAY) or filename == importlib.__file__ or filename.startswith("<frozen importlib")


class NoHandler(Exception):
    """The module is there and the function in it is not."""


NoHandler.__name__ = "HandlerNotFound"


def find(root, entries, handler):
    """Loads the module of a handler such as "index.handler" or "src/index.handler" and gives the function.

    Entries are the names in the folder root.
    """
    path, _, name = handler.rpartition(".")
    module_name = path.replace("/", ".")
    file = os.path.join(root, module_name.replace(".", os.sep) + ".py")
    known = sys.modules.get(module_name)
    taken = known is not None and getattr(known, "__file__", None) != file
    if (taken or module_name in sys.builtin_module_names) and os.path.isfile(file):
        module = load_file("_function_" + module_name.replace(".", "_"), file)  # named like a module of the system
    elif known is None and [e for e in entries if e.partition(".")[0] == module_name] == [module_name + ".py"]:
        module = load_file(module_name, file)  # what import_module would find, in half the time
    else:
        module = importlib.import_module(module_name)
    function = getattr(module, name, None)
    if function is None:
        raise NoHandler("%s has no function %r" % (path, name))
    if not callable(function):
        raise NoHandler("%r in %s is a %s, not a function" % (name, path, type(function).__name__))
    return function


def load_file(name, file):
    """Imports a module from a source file, with what else the import system would set but the name of a cache.

    That looks for compiled code, which no function brings that fits its unpacked source, and runs much more of the
    interpreter: a twelfth of all pages that a copy of a template makes its own until its first answer.
    """
    if name not in sys.modules:
        loader = importlib.machinery.SourceFileLoader(name, file)
        spec = importlib.machinery.ModuleSpec(name, loader, origin=file)
        spec.has_location = True
        sys.modules[name] = module = type(sys)(name)
        module.__loader__, module.__spec__, module.__package__, module.__file__ = loader, spec, spec.parent, file
        with open(file, "rb", 0) as source:
            text = source.read()
        exec(compile(text, file, "exec", 0, True), module.__dict__)
    return sys.modules[name]


def make_way(root, entries):
    """Forgets a module that was imported ahead of time where the function brings its own of the same name."""
    for entry in entries if AHEAD else ():
        name, _, kind = entry.partition(".")
        if name in AHEAD and (kind == "py" or kind.endswith("so") or os.path.exists(os.path.join(root, entry, "__init__.py"))):
            for known in [known for known in sys.modules if known == name or known.startswith(name + ".")]:
                del sys.modules[known]


def start(load, output):
    """Becomes the function: environment, import path, module, initializer. Gives its handlers, or a (Fail byte, Failure)."""
    root = load["code_root"]
    global OUTPUT
    OUTPUT = output
    Context._prepare(load, logs.Logger(output.log))
    kind = FAIL_LOAD
    try:
        for name, value in (load["env"] or {}).items():
            os.environ[name] = value
        if "TZ" in os.environ:
            time.tzset()
        os.chdir(root)
        sys.path.insert(0, root)
        entries = os.listdir(root)
        make_way(root, entries)
        if "logging" not in sys.modules:
            sys.meta_path.insert(0, logs.LoggingHook(log))
        elif not HOOKED:
            logs.LoggingHook(log).attach(sys.modules["logging"])
        handlers = {CALL: find(root, entries, load["handler"])}
        for key, frame in (("beat_handler", BEAT), ("stop_handler", STOP)):
            if load.get(key):
                handlers[frame] = find(root, entries, load[key])
        if load.get("init_handler"):
            initializer = find(root, entries, load["init_handler"])
            kind = FAIL_INIT
            initializer(Context("", int(time.time() * 1000) + load["init_timeout_s"] * 1000))
        return handlers, None
    except BaseException as e:
        return None, (kind, e)


def exit_code(error):
    """What the interpreter would make of a SystemExit."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    return 1


def fail(fd, seq, kind, error, output):
    body = describe(kind, error)
    output.flush()
    send(fd, FAILED, seq, kind, body)
    if isinstance(error, SystemExit):
        leave(exit_code(error))


def new_context(meta):
    deadline, = DEADLINE.unpack_from(meta)
    request_id, _, extra = meta[DEADLINE.size:].partition(b"\0")
    context = Context(request_id.decode("ascii"), deadline)
    if extra:
        said = json.loads(extra.decode("utf-8"))
        renewed = said.pop("credentials", None)
        if renewed:
            Context._credit(renewed)
        context.__dict__.update(said)
    return context


def attend(fd, kind, seq, handlers, stop_seconds, output, send):
    """Answers what is no call: the question whether all is well, and the word that this is the end."""
    hook = handlers.get(kind)
    if hook is None:
        leave(1)
    deadline = int(time.time() * 1000) + (stop_seconds if kind == STOP else 3) * 1000
    well = False
    try:
        code = getattr(hook, "__code__", None)
        said = hook() if code is not None and code.co_argcount == 0 else hook(Context("", deadline))
        well = kind == STOP or bool(said)
    except BaseException as e:
        told = json.loads(describe(FAIL_EXCEPTION, e).decode("ascii"))
        output.log(40, "\n".join(told["stackTrace"]) or told["errorMessage"])
    output.flush()
    if kind == BEAT:
        send(fd, BEATEN, seq, b"\x01" if well else b"\x00", b"")
    elif well:
        send(fd, STOPPED, seq, b"", b"")
    else:
        send(fd, FAILED, seq, FAIL_EXCEPTION, failure("PreStop", "the pre-stop handler threw"))


def serve(fd, handlers, load, output, peak):
    """Answers calls until the stream ends."""
    handler, limit = handlers[CALL], load["max_result"]
    decode, encode, flush = DECODE, ENCODE, output.flush
    while True:
        kind, seq, meta, body = receive(fd)
        if kind != CALL:
            attend(fd, kind, seq, handlers, load["stop_timeout_s"], output, send)
            continue
        result = None
        stage = FAIL_EXCEPTION
        try:
            result = handler(decode(body.decode("utf-8")), new_context(meta))
            stage = FAIL_RESULT
            text = encode(result)
            try:
                text = text.encode("utf-8")
            except UnicodeEncodeError:  # half of a surrogate pair: valid in JSON when escaped
                text = json.dumps(result, allow_nan=False, separators=(",", ":")).encode("ascii")
        except BaseException as e:
            fail(fd, seq, FAIL_LAST if isinstance(e, SystemExit) else stage, e, output)
            continue
        flush()
        if len(text) > limit:
            message = "the result is %d bytes of JSON, over the limit of %d" % (len(text), limit)
            send(fd, FAILED, seq, FAIL_TOO_LARGE, failure("ResponseTooLarge", message))
        else:
            send(fd, RESULT, seq, PEAK.pack(peak()), text)


def hide(fd):
    """Moves the socket to a number that loops over low descriptors do not reach and that no child inherits."""
    for target in (1000, 200):
        try:
            os.dup2(fd, target, inheritable=False)
        except OSError:
            continue  # over the limit of open files
        os.close(fd)
        fd = target
        break
    os.set_inheritable(fd, False)
    os.set_blocking(fd, True)
    return fd


def main(output):
    fd = hide(3)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: os.close(fd))
    peak = Peak()
    send(fd, READY, 0, b"", b"")
    kind, _, _, body = receive(fd)
    if kind != LOAD:
        leave(1)
    load = DECODE(body.decode("utf-8"))
    shared = None
    if load.get("concurrency", 1) > 1:
        shared = load_file("_hanshu_shared", SHARED)
        output = shared.Output()
    gateway = None
    if load.get("contract") == "edge":
        gateway = load_file("_hanshu_gateway", GATEWAY)
        line, sdk = gateway.prepare(sys.modules[__name__], fd, load)
    handlers, trouble = start(load, output)
    if trouble is not None:
        fail(fd, 0, trouble[0], trouble[1], output)
        receive(fd)  # until the server ends this process
        leave(1)
    output.flush()
    send(fd, LOADED, 0, b"", b"")
    if shared is not None:
        shared.serve(sys.modules[__name__], fd, handlers, load, output, peak)
    if gateway is not None:
        gateway.serve(sys.modules[__name__], fd, handlers, load, output, peak, line, sdk)
    serve(fd, handlers, load, output, peak)


def wait_to_be_copied(output):
    """Goes on in a copy of this process: see template.py."""
    global PID, AHEAD, HOOKED
    ours = {name.partition(".")[0] for name in sys.modules}
    template = load_file("_hanshu_template", os.path.join(FOLDER, "template.py"))
    template.imports()
    AHEAD = frozenset(name.partition(".")[0] for name in sys.modules) - ours
    logs.LoggingHook(log).attach(importlib.import_module("logging"))
    HOOKED = True
    rehearse(output)
    del ours  # here and not in each copy
    ahead = template.wait()
    PID = os.getpid()
    if ahead:
        rehearse(output)  # makes the pages that a first call writes to this copy's own before there is one


def rehearse(output):
    """Does once what each copy does until its first answer.

    What the interpreter makes at the first use of something (caches, interned names, specialised instructions) is then there
    before the copy, which otherwise makes it again each time, in memory of its own.
    """
    before = set(sys.modules)
    os.close(hide(os.dup(0)))
    load = collections.defaultdict(str, code_root=FOLDER, handler="rehearsal.handler", env={"RUNTIME_CODE_ROOT": FOLDER})
    handlers, trouble = start(load, output)
    if trouble is not None:
        raise trouble[1]
    peak = Peak()
    for _ in range(8):  # instructions are specialised after some uses
        text = ENCODE(handlers[CALL](DECODE('{"a": [1, 2.5, "text", null, true]}'), new_context(DEADLINE.pack(1) + b"id\0{}")))
        HEAD.unpack_from(HEAD.pack(2, CALL, 0, 0, 1) + PEAK.pack(peak()) + text.encode("utf-8"))
    output.flush()
    os.chdir("/")
    sys.path.remove(FOLDER)
    del os.environ["RUNTIME_CODE_ROOT"]
    for name in set(sys.modules) - before:
        del sys.modules[name]


logs = load_file("_hanshu_logs", LOGS)

if __name__ == "__main__":
    if sys.argv[1:] == ["template"]:
        del sys.argv[1:]
        made = Output()
        wait_to_be_copied(made)
        main(made)
    else:
        main(Output())
