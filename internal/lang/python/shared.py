"""Serves several calls of a function side by side, each in a thread. worker.py loads it where that is asked for.

Log lines carry the number of their call (internal/lang/protocol.go). It is known in the thread of the call and in the tasks
that asyncio runs there; what a thread of the function's own prints has no number.
"""
import io
import json
import os
import queue
import sys
import threading

try:
    from contextvars import ContextVar
except ImportError:  # before Python 3.7
    class ContextVar(threading.local):
        value = 0

        def __init__(self, name, default):
            pass

        def get(self):
            return self.value

        def set(self, value):
            self.value = value

CURRENT = ContextVar("hanshu_call", default=0)


class Stream(io.TextIOBase):
    """Standard output or error: whole lines go out at once, each with the number of its call."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, output, fd):
        self._output = output
        self._fd = fd
        self._open = {}  # call -> text without a line end so far
        self.buffer = open(fd, "wb", buffering=0, closefd=False)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        call = CURRENT.get()
        head, end, rest = text.rpartition("\n")
        with self._output.lock:
            if end:
                lines = (self._open.pop(call, "") + head).split("\n")
                self._output.put(call, "I", lines)
            if rest:
                self._open[call] = self._open.get(call, "") + rest
                if len(self._open[call]) > 64 << 10:
                    self._output.put(call, "I", [self._open.pop(call)])
        return len(text)

    def finish(self, call):
        with self._output.lock:
            rest = self._open.pop(call, "")
            if rest:
                self._output.put(call, "I", [rest])

    def flush(self):
        pass  # whole lines are out

    def close(self):
        pass  # other calls go on printing

    def writable(self):
        return True

    def isatty(self):
        return False

    def fileno(self):
        return self._fd


class Output(object):
    """What worker.Output is for calls that come one at a time."""

    def __init__(self):
        self.lock = threading.RLock()
        self.out = sys.stdout = sys.__stdout__ = Stream(self, 1)
        self.err = sys.stderr = sys.__stderr__ = Stream(self, 2)

    def put(self, call, letter, lines):
        """Writes lines in one piece. The lock is held."""
        mark = "\x1e" + letter + ("\x1d%d\x1d" % call if call else "")
        rest = memoryview("".join(mark + line + "\n" for line in lines).encode("utf-8", "backslashreplace"))
        try:
            while rest:
                rest = rest[os.write(1, rest):]
        except OSError:
            pass  # the function has closed its output, so nobody can read this

    def log(self, number, text):
        letter = "E" if number >= 40 else "W" if number >= 30 else "I" if number >= 20 else "D"
        with self.lock:
            self.put(CURRENT.get(), letter, [text.replace("\n", "\x1f")])

    def flush(self):
        for stream in (self.out, self.err):
            stream.finish(CURRENT.get())


class Crew(object):
    """Threads that take calls. There are as many as calls have ever run at a time."""

    def __init__(self, run):
        self._run = run
        self._work = queue.SimpleQueue() if hasattr(queue, "SimpleQueue") else queue.Queue()
        self._lock = threading.Lock()
        self._free = 0

    def take(self, frame):
        with self._lock:
            start = self._free == 0
            if not start:
                self._free -= 1
        self._work.put(frame)
        if start:
            threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self):
        while True:
            frame = self._work.get()
            CURRENT.set(frame[1])
            self._run(*frame)
            CURRENT.set(0)
            del frame
            with self._lock:
                self._free += 1


def serve(worker, fd, handlers, load, output, peak):
    """Answers calls until the stream ends."""
    handler, limit = handlers[worker.CALL], load["max_result"]
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    lock = threading.Lock()

    def send(fd, kind, seq, meta, body):
        with lock:
            worker.send(fd, kind, seq, meta, body)

    def run(kind, seq, meta, body):
        if kind != worker.CALL:
            CURRENT.set(0)
            worker.attend(fd, kind, seq, handlers, load["stop_timeout_s"], output, send)
            return
        stage = worker.FAIL_EXCEPTION
        try:
            result = handler(json.loads(body.decode("utf-8")), worker.new_context(meta))
            stage = worker.FAIL_RESULT
            text = encode(result)
            try:
                text = text.encode("utf-8")
            except UnicodeEncodeError:  # half of a surrogate pair: valid in JSON when escaped
                text = json.dumps(result, allow_nan=False, separators=(",", ":")).encode("ascii")
        except BaseException as e:
            if isinstance(e, SystemExit):
                stage = worker.FAIL_LAST  # the calls beside this one may end, and then the server ends this process
            failure = worker.describe(stage, e)
            output.flush()
            send(fd, worker.FAILED, seq, stage, failure)
            return
        output.flush()
        if len(text) > limit:
            message = "the result is %d bytes of JSON, over the limit of %d" % (len(text), limit)
            send(fd, worker.FAILED, seq, worker.FAIL_TOO_LARGE, worker.failure("ResponseTooLarge", message))
        else:
            send(fd, worker.RESULT, seq, worker.PEAK.pack(peak()), text)

    crew = Crew(run)
    for frame in frames(worker, fd):
        if frame[0] not in handlers:
            worker.leave(1)
        crew.take(frame)


def frames(worker, fd):
    """Reads frames until the stream ends, which ends the process. Several can come in one piece."""
    head, data = worker.HEAD, bytearray()
    while True:
        while len(data) >= head.size:
            size, kind, _, meta, seq = head.unpack_from(data)
            end = head.size + size
            if len(data) < end:
                break
            middle = head.size + meta
            yield kind, seq, bytes(data[head.size:middle]), bytes(data[middle:end])
            del data[:end]
        try:
            more = os.read(fd, 1 << 20 if len(data) >= head.size else worker.CHUNK)
        except OSError:
            worker.leave(1)
        except BaseException as e:  # a signal handler of the function raised
            print("exception outside a call: %s" % type(e).__name__, file=sys.__stderr__)
            continue
        if not more:
            worker.leave(0)
        data += more
