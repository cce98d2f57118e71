"""Runs a Python 2.7 function for hanshu: waits for calls on a socket, hands them to the handler, sends back what it returns.

The protocol is described in internal/lang/protocol.go, the contract of handlers in FunctionGraph reference 5.2. CPython 2.7,
PyPy and Jython, standard library only.
"""
import errno
import imp
import json
import logging
import os
import re
import struct
import sys
import time
import traceback

HEAD = struct.Struct(">IBBHI")  # size, type, zero, size of meta, sequence number
READY, LOAD, LOADED, CALL, RESULT, FAILED = 1, 2, 3, 4, 5, 6
FAIL_LOAD, FAIL_INIT, FAIL_EXCEPTION, FAIL_LAST, FAIL_RESULT, FAIL_TOO_LARGE = "l", "i", "x", "e", "r", "t"
CHUNK = 64 << 10

HERE = (lambda: 0).__code__.co_filename  # as frames of this file name it
MAX_MESSAGE = 32 << 10  # characters of an error's message
MAX_STACK = 200  # lines of a stack
MAX_LINE = 2000  # characters of one

JYTHON = sys.platform.startswith("java")

# Half of a surrogate pair, which UTF-8 cannot carry. Jython has none in its strings, and knows no such pattern.
LONE = None if JYTHON else re.compile(
    r"(?<![\ud800-\udbff])[\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])".decode("unicode_escape"))


class Posix(object):
    """The socket and the ends of a process as the system has them."""

    def __init__(self, fd):
        self._pid = os.getpid()
        self._fd = fd
        import fcntl
        import resource
        for target in (1000, 200):  # where loops over low descriptors do not reach
            try:
                os.dup2(fd, target)
            except OSError:
                continue
            os.close(fd)
            self._fd = target
            break
        fcntl.fcntl(self._fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        self._usage = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._inherited = self._usage()  # by the program that started this one

    def read(self, count):
        while True:
            try:
                return os.read(self._fd, count)
            except OSError as e:
                if e.errno != errno.EINTR:  # a signal
                    raise

    def write(self, data):
        if os.getpid() != self._pid:
            self.leave(0)  # a child that the handler forked came back from it
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view):]

    def leave(self, code):
        os._exit(code)

    def peak(self):
        kib = self._usage()
        return kib if kib > self._inherited else status_peak()


class Jvm(object):
    """The same on Jython, whose os module knows no inherited descriptors."""

    def __init__(self, number):
        from java.io import FileDescriptor, FileInputStream, FileOutputStream
        from java.lang import Class, Runtime
        from jarray import zeros
        socket = FileDescriptor()
        field = Class.forName("java.io.FileDescriptor").getDeclaredField("fd")
        field.setAccessible(True)
        field.setInt(socket, number)
        self._in, self._out, self._buffer = FileInputStream(socket), FileOutputStream(socket), zeros(CHUNK, "b")
        self._halt = Runtime.getRuntime().halt

    def read(self, count):
        n = self._in.read(self._buffer, 0, min(count, CHUNK))
        return self._buffer[:n].tostring() if n > 0 else ""

    def write(self, data):
        self._out.write(data)

    def leave(self, code):
        self._halt(code)

    def peak(self):
        return status_peak()


def status_peak():
    """The highest resident memory of this process so far, in KiB; 0 where /proc is missing or out of reach."""
    try:
        with open("/proc/self/status") as f:
            return int(f.read().split("VmHWM:", 1)[1].split(None, 1)[0])
    except (IOError, OSError, ValueError, IndexError):
        return 0


class Context(object):
    """What a handler gets beside the event. What is the same for all calls stands on the class, set by prepare."""

    alias = workflow_id = workflow_run_id = workflow_state_id = ""
    workflow_attempt = 0

    def __init__(self, request_id, deadline):
        self.request_id = request_id
        self._deadline = deadline  # Unix milliseconds

    @classmethod
    def prepare(cls, load, logger):
        cls.project_id = load["project_id"]
        cls.package = load["package"]
        cls.function_name = load["function"]
        cls.version = cls.function_version = load["version"]
        cls.memory_size = load["memory_mb"]
        cls.cpu_number = load["cpu_millis"]
        cls.timeout = load["timeout_s"]
        cls.user_data = load["user_data"] or {}
        cls.credit(load)
        cls.logger = logger

    @classmethod
    def credit(cls, said):
        cls.access_key = cls.security_access_key = said["access_key"]
        cls.secret_key = cls.security_secret_key = said["secret_key"]
        cls.security_token = said["security_token"]
        cls.token = said["auth_token"]

    def getRemainingTimeInMilliSeconds(self):
        return max(0, int(self._deadline - int(time.time() * 1000)))

    def getUserData(self, key, default=None):
        return self.user_data.get(key, default)


def getter(name):
    return lambda self: getattr(self, name)


# getRunningTimeInSeconds is the timeout of the function: that is what FunctionGraph means by this name.
for _method, _name in {
    "RequestID": "request_id", "RunningTimeInSeconds": "timeout", "AccessKey": "access_key", "SecretKey": "secret_key",
    "SecurityAccessKey": "access_key", "SecuritySecretKey": "secret_key", "SecurityToken": "security_token", "Token": "token",
    "FunctionName": "function_name", "Version": "version", "MemorySize": "memory_size", "CPUNumber": "cpu_number",
    "ProjectID": "project_id", "Package": "package", "Logger": "logger", "Alias": "alias", "WorkflowID": "workflow_id",
    "WorkflowRunID": "workflow_run_id", "WorkflowStateID": "workflow_state_id",
    "WorkflowAttempt": "workflow_attempt",
}.items():
    setattr(Context, "get" + _method, getter(_name))


def level_number(level):
    """Reads a level as a name in any case or as a number of the logging module."""
    if not isinstance(level, basestring):
        return int(level)
    number = {"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "CRITICAL": 50, "FATAL": 50}.get(level.upper())
    if number is None:
        raise ValueError("level %r is none of DEBUG, INFO, WARN, ERROR" % level)
    return number


class Logger(object):
    """context.getLogger(). Messages take arguments as in the logging module: logger.info("%s rows", n)."""

    def __init__(self, write):
        self._write = write
        self._level = 20

    def setLevel(self, level):
        self._level = level_number(level)

    def debug(self, message, *args):
        self._log(10, message, args)

    def info(self, message, *args):
        self._log(20, message, args)

    def warn(self, message, *args):
        self._log(30, message, args)

    warning = warn

    def error(self, message, *args):
        self._log(40, message, args)

    def log(self, level, *args):
        """log(message) at level INFO, or log(level, message, ...)."""
        if args:
            self._log(level_number(level), args[0], args[1:])
        else:
            self._log(20, level, ())

    def _log(self, number, message, args):
        if number >= self._level:
            text = as_unicode(message)
            if args:
                try:
                    text = text % args
                except (TypeError, ValueError, KeyError):
                    text = u" ".join([text] + [as_unicode(a) for a in args])
            self._write(number, text)


def as_unicode(value):
    if isinstance(value, unicode):
        return value
    try:
        return (value if isinstance(value, str) else str(value)).decode("utf-8", "replace")
    except UnicodeError:
        return unicode(value)


class Output(object):
    """Standard output and error of the function, line by line into the pipe. Unicode goes out as UTF-8."""

    encoding = "UTF-8"
    softspace = 0

    def __init__(self, fd):
        self._fd = fd
        self._rest = ""
        if JYTHON:
            from java.io import FileDescriptor, FileOutputStream
            self._pipe = FileOutputStream(FileDescriptor.out if fd == 1 else FileDescriptor.err)

    def write(self, text):
        self._rest += text.encode("utf-8", "replace") if isinstance(text, unicode) else str(text)
        whole, line, rest = self._rest.rpartition("\n")
        self._rest = rest
        self._send(whole + line)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        rest, self._rest = self._rest, ""
        self._send(rest)

    def _send(self, data):
        try:
            if JYTHON:
                self._pipe.write(data)
            while data and not JYTHON:
                data = data[os.write(self._fd, data):]
        except Exception:
            pass  # closed by the function, so nobody can read it

    def close(self):
        self.flush()

    def isatty(self):
        return False

    def fileno(self):
        return self._fd

    def log(self, number, text):
        letter = "E" if number >= 40 else "W" if number >= 30 else "I" if number >= 20 else "D"
        self.write(u"\x1e" + letter + as_unicode(text).replace("\n", "\x1f") + "\n")


def attach_logging(output):
    """Gives the logging module's root a handler that keeps levels."""

    class RootHandler(logging.Handler):
        def emit(self, record):
            try:
                output.log(record.levelno, self.format(record))
            except Exception:
                self.handleError(record)

    ours = RootHandler()
    ours.setFormatter(logging.Formatter("%(message)s"))
    logging.root.addHandler(ours)
    basic = logging.basicConfig

    def basicConfig(**options):
        # basicConfig does nothing once the root has a handler, which would silently drop what it was asked for.
        if logging.root.handlers != [ours]:
            basic(**options)
        elif set(("filename", "stream")) & set(options):
            logging.root.removeHandler(ours)
            basic(**options)
        else:
            if "format" in options:
                ours.setFormatter(logging.Formatter(options["format"], options.get("datefmt")))
            if options.get("level") is not None:
                logging.root.setLevel(options["level"])

    logging.basicConfig = basicConfig


class HandlerNotFound(Exception):
    """The module or the function in it is not there."""


def find(root, handler):
    """Loads the module of a handler such as "index.handler" or "src/index.handler" and gives the function."""
    path, _, name = handler.rpartition(".")
    module_name = path.replace("/", ".").encode("utf-8")
    file = os.path.join(root, module_name.replace(".", os.sep) + ".py")
    if not os.path.isfile(file):
        __import__(module_name)  # says what is missing, or finds it elsewhere
        module = sys.modules[module_name]
    else:
        known = "_function_" + module_name.replace(".", "_").replace("-", "_")
        if "." in module_name:
            sys.path.insert(1, os.path.dirname(file))
        module = sys.modules.get(known) or sys.modules.get(module_name)
        if module is None or not same_file(module, file):
            name_it = known if module_name in sys.modules or module_name in sys.builtin_module_names else module_name
            module = imp.load_source(name_it, file)
    function = getattr(module, name, None)
    if function is None:
        raise HandlerNotFound("%s has no function %r" % (path, str(name)))
    if not callable(function):
        raise HandlerNotFound("%r in %s is a %s, not a function" % (str(name), path, type(function).__name__))
    return function


def same_file(module, file):
    return (getattr(module, "__file__", None) or "").replace(".pyc", ".py").replace("$py.class", ".py") == file


def encode(result):
    text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if isinstance(text, unicode):
        if LONE is not None and LONE.search(text):
            return json.dumps(result, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    text.decode("utf-8")  # a str that is not UTF-8 has no form in JSON
    return text


def describe(kind, type_, error, tb):
    """Makes a Failure of an exception: bounded, without the frames of this file."""
    try:
        message = as_unicode(error)
    except BaseException:
        message = u"<the message of this exception cannot be printed>"
    if JYTHON and hasattr(error, "getMessage") and not isinstance(error, BaseException):
        message = as_unicode(error.getMessage() or "")
    stack = []
    if kind == FAIL_RESULT:
        message = u"the result cannot be written as JSON: " + message
    else:
        while tb is not None and tb.tb_frame.f_code.co_filename == HERE:
            tb = tb.tb_next
        try:
            stack = as_unicode("".join(traceback.format_exception(type_, error, tb))).splitlines()
        except BaseException:
            pass  # the message alone, then
    if len(stack) > MAX_STACK:
        half = MAX_STACK // 2
        stack[half:-half] = ["... %d lines left out ..." % (len(stack) - 2 * half)]
    return failure(getattr(type_, "__name__", str(type_)), message, [line[:MAX_LINE] for line in stack])


def failure(kind, message, stack=()):
    if len(message) > MAX_MESSAGE:
        message = message[:MAX_MESSAGE] + "..."
    return json.dumps({"errorMessage": message, "errorType": kind, "stackTrace": list(stack)})


class Worker(object):
    """The life of this process."""

    def __init__(self):
        self.host = Jvm(3) if JYTHON else Posix(3)
        self.out = sys.stdout = sys.__stdout__ = Output(1)
        self.err = sys.stderr = sys.__stderr__ = Output(2)
        attach_logging(self.out)

    def receive(self):
        """Waits for a frame: (type, seq, meta, body). The end of the stream ends the process."""
        data = []
        have, want = 0, HEAD.size
        while have < want:
            try:
                more = self.host.read(CHUNK if want == HEAD.size else max(CHUNK, min(want - have, 1 << 20)))
            except EnvironmentError:
                self.host.leave(1)
            except BaseException as e:  # a signal handler of the function raised between calls
                self.err.write("exception outside a call: %s\n" % type(e).__name__)
                continue
            except:  # one of Java's
                self.host.leave(1)
            if not more:
                self.host.leave(0)
            data.append(more)
            have += len(more)
            if have >= HEAD.size and want == HEAD.size:
                data = ["".join(data)]
                want = HEAD.size + HEAD.unpack_from(data[0])[0]
        whole = "".join(data)
        _, kind, _, meta, seq = HEAD.unpack_from(whole)
        meta += HEAD.size
        return kind, seq, whole[HEAD.size:meta], whole[meta:]

    def send(self, kind, seq, meta, body):
        """Sends a frame. Any trouble ends the process, since half a frame is of no use."""
        try:
            self.host.write(HEAD.pack(len(meta) + len(body), kind, 0, len(meta), seq) + meta + body)
        except BaseException:
            self.host.leave(1)

    def flush(self):
        self.out.flush()
        self.err.flush()

    def fail(self, seq, kind):
        type_, error, tb = sys.exc_info()
        body = describe(kind, type_, error, tb)
        self.flush()
        self.send(FAILED, seq, kind, body)
        if isinstance(error, SystemExit):
            code = error.code
            self.host.leave(0 if code is None else code & 0xFF if isinstance(code, int) else 1)

    def warm(self):
        """Goes once through what the first call needs: on Jython each step loads and links many classes."""
        encode(json.loads('{"a":[1,2.5,null,true,"\\u4e16"]}'))
        self.context(struct.pack(">Q", 1) + "id\0{}")
        try:
            raise ValueError("warm")
        except ValueError:
            describe(FAIL_LOAD, *sys.exc_info())

    def context(self, meta):
        request_id, _, extra = meta[8:].partition("\0")
        context = Context(request_id, struct.unpack_from(">Q", meta)[0])
        if extra:
            said = json.loads(extra)
            renewed = said.pop("credentials", None)
            if renewed:
                Context.credit(renewed)
            context.__dict__.update(said)
        return context

    def become(self, load):
        """Becomes the function: environment, import path, module, initializer. Gives the handler."""
        kind = FAIL_LOAD
        try:
            Context.prepare(load, Logger(self.out.log))
            root = load["code_root"].encode("utf-8")
            for name, value in (load["env"] or {}).items():
                os.environ[name.encode("utf-8")] = value.encode("utf-8")
            if "TZ" in os.environ and hasattr(time, "tzset"):
                time.tzset()
            os.chdir(root)
            sys.path.insert(0, root)
            sys.dont_write_bytecode = True
            handler = find(root, load["handler"])
            if load.get("init_handler"):
                initializer = find(root, load["init_handler"])
                kind = FAIL_INIT
                initializer(Context("", int(time.time() * 1000) + load["init_timeout_s"] * 1000))
            return handler
        except:  # whatever it is: old-style classes and Java's exceptions too
            self.fail(0, kind)
            self.receive()  # until the server ends this process
            self.host.leave(1)

    def run(self):
        self.warm()
        self.send(READY, 0, "", "")
        kind, _, _, body = self.receive()
        if kind != LOAD:
            self.host.leave(1)
        load = json.loads(body)
        handler = self.become(load)
        self.flush()
        self.send(LOADED, 0, "", "")
        while True:
            kind, seq, meta, body = self.receive()
            if kind != CALL:
                self.host.leave(1)
            self.call(handler, load["max_result"], seq, meta, body)

    def call(self, handler, limit, seq, meta, body):
        stage = FAIL_EXCEPTION
        try:
            result = handler(json.loads(body.decode("utf-8")), self.context(meta))
            stage = FAIL_RESULT
            text = encode(result)
        except:  # whatever it is: old-style classes and Java's exceptions too
            self.fail(seq, FAIL_LAST if isinstance(sys.exc_info()[1], SystemExit) else stage)
            return
        self.flush()
        if len(text) > limit:
            message = "the result is %d bytes of JSON, over the limit of %d" % (len(text), limit)
            self.send(FAILED, seq, FAIL_TOO_LARGE, failure("ResponseTooLarge", message))
        else:
            self.send(RESULT, seq, struct.pack(">I", self.host.peak()), text)


if __name__ == "__main__":
    sys.path[:] = [p for p in sys.path if p != os.path.dirname(os.path.abspath(HERE))]  # functions do not see this file
    Worker().run()
