"""Runs a function the way gateways do: handler(event, context) with bytes in the event and an EdgeClient in the context.

worker.py loads it for functions of that contract (edge reference 1.4). It brings the module function_sdk, whose EdgeClient is
also context["sdk"]. What a client publishes and keeps, it asks of the agent over the socket of the calls, and so while a handler
runs only. Python 3.6 or newer, standard library only.
"""
import base64
import json
import struct
import sys
import threading
import time
import types

ASK, TOLD = 30, 31
NUMBER = struct.Struct(">I")


class EdgeError(Exception):
    """What the agent answers to a request that it refuses."""


class Line(object):
    """The socket, one question at a time. There is nobody to ask outside a call."""

    def __init__(self, worker, fd, alone):
        self._worker, self._fd, self._count, self._alone = worker, fd, 0, alone
        self._lock, self._call = threading.Lock(), 0

    def begin(self, call):
        with self._lock:
            self._call = call

    end = lambda self: self.begin(0)

    def ask(self, what, data):
        if self._alone:
            raise EdgeError("%s needs a gateway, and this function runs on a server" % what)
        body = json.dumps({"ask": what, "data": data}).encode("ascii")
        with self._lock:
            if not self._call:
                raise EdgeError("%s is possible while a handler runs only" % what)
            self._count = (self._count + 1) & 0xFFFFFFFF
            meta = NUMBER.pack(self._count)
            self._worker.send(self._fd, ASK, self._call, meta, body)
            kind, call, told, answer = self._worker.receive(self._fd)
            if (kind, call, bytes(told)) != (TOLD, self._call, meta):
                self._worker.leave(1)
        answer = json.loads(bytes(answer).decode("utf-8"))
        if answer.get("status"):
            raise EdgeError(answer.get("reason"))
        return answer.get("result")


def to_bytes(value):
    """The bytes that redis-py would send."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise EdgeError("a value must be bytes, str, int or float, not %s" % type(value).__name__)
    return (value if isinstance(value, str) else repr(value)).encode("utf-8")


def text64(value):
    return base64.b64encode(to_bytes(value)).decode("ascii")


def from_told(value):
    """Texts are base64 of bytes; lists hold the same."""
    if isinstance(value, str):
        return base64.b64decode(value)
    if isinstance(value, list):
        return [from_told(v) for v in value]
    return value


class Redis(object):
    """The methods of redis-py's client over the gateway's own store, which is durable and shared by its functions.

    Values come back as bytes.
    """

    def __init__(self, line):
        self._line = line

    def execute_command(self, *args):
        name = str(args[0]).upper()
        return from_told(self._line.ask("kv", [name] + [text64(a) for a in args[1:]]))

    def _ok(self, *args):
        return self.execute_command(*args) is not None

    def _flag(self, *args):
        return bool(self.execute_command(*args))

    def _pairs(self, name, mapping):
        args = [name]
        for key, value in mapping.items():
            args += [key, value]
        return args

    def ping(self):
        return True

    def get(self, name):
        return self.execute_command("GET", name)

    __getitem__ = get

    def set(self, name, value, ex=None, px=None, nx=False, xx=False):
        args = ["SET", name, value]
        if ex is not None:
            args += ["EX", seconds(ex)]
        if px is not None:
            args += ["PX", int(px.total_seconds() * 1000) if hasattr(px, "total_seconds") else int(px)]
        if nx:
            args.append("NX")
        if xx:
            args.append("XX")
        return self.execute_command(*args) and True

    def __setitem__(self, name, value):
        self.set(name, value)

    def setex(self, name, time, value):
        return self.set(name, value, ex=time)

    def setnx(self, name, value):
        return bool(self.set(name, value, nx=True))

    def mget(self, keys, *args):
        return self.execute_command("MGET", *listed(keys, args))

    def mset(self, mapping):
        return self._ok(*self._pairs("MSET", mapping))

    def incr(self, name, amount=1):
        return self.execute_command("INCRBY", name, amount)

    incrby = incr

    def decr(self, name, amount=1):
        return self.execute_command("INCRBY", name, -amount)

    decrby = decr

    def append(self, key, value):
        return self.execute_command("APPEND", key, value)

    def strlen(self, name):
        return self.execute_command("STRLEN", name)

    def delete(self, *names):
        return self.execute_command("DEL", *names)

    def __delitem__(self, name):
        self.delete(name)

    def exists(self, *names):
        return self.execute_command("EXISTS", *names)

    def __contains__(self, name):
        return bool(self.exists(name))

    def keys(self, pattern="*"):
        return self.execute_command("KEYS", pattern)

    def type(self, name):
        return self.execute_command("TYPE", name)

    def expire(self, name, time):
        return self._flag("PEXPIRE", name, seconds(time) * 1000)

    def pexpire(self, name, time):
        return self._flag("PEXPIRE", name, int(time))

    def persist(self, name):
        return self._flag("PERSIST", name)

    def ttl(self, name):
        left = self.pttl(name)
        return left if left < 0 else (left + 999) // 1000

    def pttl(self, name):
        return self.execute_command("PTTL", name)

    def flushdb(self):
        return self._ok("FLUSHDB")

    def hget(self, name, key):
        return self.execute_command("HGET", name, key)

    def hset(self, name, key=None, value=None, mapping=None):
        args = ["HSET", name]
        if key is not None:
            args += [key, value]
        for k, v in (mapping or {}).items():
            args += [k, v]
        return self.execute_command(*args)

    def hmset(self, name, mapping):
        self.hset(name, mapping=mapping)
        return True

    def hmget(self, name, keys, *args):
        return self.execute_command("HMGET", name, *listed(keys, args))

    def hgetall(self, name):
        flat = self.execute_command("HGETALL", name)
        return dict(zip(flat[::2], flat[1::2]))

    def hdel(self, name, *keys):
        return self.execute_command("HDEL", name, *keys)

    def hexists(self, name, key):
        return self._flag("HEXISTS", name, key)

    def hkeys(self, name):
        return self.execute_command("HGETALL", name)[::2]

    def hvals(self, name):
        return self.execute_command("HGETALL", name)[1::2]

    def hlen(self, name):
        return self.execute_command("HLEN", name)

    def hincrby(self, name, key, amount=1):
        return self.execute_command("HINCRBY", name, key, amount)

    def lpush(self, name, *values):
        return self.execute_command("LPUSH", name, *values)

    def rpush(self, name, *values):
        return self.execute_command("RPUSH", name, *values)

    def lpop(self, name):
        return self.execute_command("LPOP", name)

    def rpop(self, name):
        return self.execute_command("RPOP", name)

    def lrange(self, name, start, end):
        return self.execute_command("LRANGE", name, start, end)

    def lindex(self, name, index):
        return self.execute_command("LINDEX", name, index)

    def llen(self, name):
        return self.execute_command("LLEN", name)

    def ltrim(self, name, start, end):
        return self._ok("LTRIM", name, start, end)

    def sadd(self, name, *values):
        return self.execute_command("SADD", name, *values)

    def srem(self, name, *values):
        return self.execute_command("SREM", name, *values)

    def smembers(self, name):
        return set(self.execute_command("SMEMBERS", name))

    def sismember(self, name, value):
        return self._flag("SISMEMBER", name, value)

    def scard(self, name):
        return self.execute_command("SCARD", name)


def seconds(time):
    return int(time.total_seconds()) if hasattr(time, "total_seconds") else int(time)


def listed(keys, args):
    return ([keys] if isinstance(keys, (str, bytes)) else list(keys)) + list(args)


def make_client(line, place, logger):
    """The class EdgeClient: each of its values is the same client, as a function has one place to run in."""
    store = Redis(line)

    class EdgeClient(object):
        product_sn, device_sn = place.get("product_sn", ""), place.get("device_sn", "")
        config = place.get("config") or {}
        redis_client = store

        def publish(self, topic, data):
            line.ask("publish", {"topic": topic, "payload": text64(data)})

        def publish_nats_msg(self, subject, data):
            line.ask("bus", {"subject": subject, "payload": text64(data)})

    EdgeClient.logger = logger
    return EdgeClient


class Late(object):
    """The logger of the function, before it is known: modules take it when they are loaded."""

    def __init__(self, context):
        self._context = context

    def __getattr__(self, name):
        return getattr(self._context.logger, name)


def prepare(worker, fd, load):
    """Makes function_sdk importable. It comes before the code is loaded."""
    line = Line(worker, fd, load.get("place") is None)
    sdk = types.ModuleType("function_sdk")
    sdk.EdgeClient = make_client(line, load.get("place") or {}, Late(worker.Context))
    sdk.EdgeError = EdgeError
    sys.modules["function_sdk"] = sdk
    return line, sdk


def make_context(worker, name, client):
    base = worker.Context

    class Context(dict, base):
        """The dict of the contract, which also answers the methods that functions know from elsewhere."""

        def __init__(self, request_id, deadline):
            dict.__init__(self, timestamp=int(time.time()), functionName=name, functionInvokeID=request_id, sdk=client)
            base.__init__(self, request_id, deadline)

    return Context


def serve(worker, fd, handlers, load, output, peak, line, sdk):
    """Answers calls until the stream ends."""
    handler, limit = handlers[worker.CALL], load["max_result"]
    worker.Context = make_context(worker, load["function"], sdk.EdgeClient())
    while True:
        kind, seq, meta, body = worker.receive(fd)
        if kind != worker.CALL:
            worker.attend(fd, kind, seq, handlers, load["stop_timeout_s"], output, worker.send)
            continue
        stage = worker.FAIL_EXCEPTION
        line.begin(seq)
        try:
            context = worker.new_context(meta)
            event = json.loads(bytes(body).decode("utf-8"))
            if getattr(context, "source", "") == "mqtt":
                event["payload"] = base64.b64decode(event["payload"])
            result = handler(event, context)
            stage = worker.FAIL_RESULT
            text = json.dumps(result, allow_nan=False, separators=(",", ":")).encode("ascii")
        except BaseException as e:
            line.end()
            worker.fail(fd, seq, worker.FAIL_LAST if isinstance(e, SystemExit) else stage, e, output)
            continue
        line.end()
        output.flush()
        if len(text) > limit:
            message = "the result is %d bytes of JSON, over the limit of %d" % (len(text), limit)
            worker.send(fd, worker.FAILED, seq, worker.FAIL_TOO_LARGE, worker.failure("ResponseTooLarge", message))
        else:
            worker.send(fd, worker.RESULT, seq, worker.PEAK.pack(peak()), text)
