// Runs a Node.js function for hanshu: waits for calls on a socket, hands them to the handler, sends back what it returns.
//
// The protocol is described in internal/lang/protocol.go, the contract of handlers in FunctionGraph reference 5.2.
// Node.js 12.13 or newer, no packages. What this file needs of Node's modules is taken before the function runs, which may
// replace it there.
'use strict';

const fs = require('fs');
const net = require('net');
const path = require('path');
const util = require('util');
const { createRequire } = require('module');
const { pathToFileURL } = require('url');
const { Writable } = require('stream');

const { writeSync, readFileSync, existsSync } = fs;
const { parse, stringify } = JSON;
const exit = process.exit.bind(process);
const now = Date.now;

const CONTROL = 3;
const HEAD = 12;
const READY = 1, LOAD = 2, LOADED = 3, CALL = 4, RESULT = 5, FAILED = 6, BEAT = 7, BEATEN = 8, STOP = 9, STOPPED = 10, ASK = 30, TOLD = 31;
const FAIL_LOAD = 'l', FAIL_INIT = 'i', FAIL_EXCEPTION = 'x', FAIL_LAST = 'e', FAIL_RESULT = 'r', FAIL_TOO_LARGE = 't';

const MAX_MESSAGE = 32 << 10; // characters of an error's message
const MAX_STACK = 200; // lines of a stack
const MAX_LINE = 2000; // characters of one

// --- standard output and error

let level = ''; // letter of the console method that writes just now
let callbacks = null; // what serves handlers that answer by a callback; null where the contract is another
let shared = null; // what serves calls side by side; null where they come one at a time

function writeAll(fd, text) {
  const data = typeof text === 'string' ? Buffer.from(text) : text;
  for (let at = 0; at < data.length;) {
    try {
      at += writeSync(fd, data, at, data.length - at);
    } catch (error) {
      if (error.code !== 'EAGAIN') return; // closed by the function: nobody can read this
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // the pipe is full and a child made it non-blocking
    }
  }
}

function logLine(letter, text) {
  writeAll(1, '\x1e' + letter + (shared === null ? '' : shared.tag()) + text.replace(/\n/g, '\x1f') + '\n');
}

// replaceOutput puts streams in place that write at once. Node's own would make the pipe non-blocking, and lines could
// come after the answer of their call.
function replaceOutput(name, fd) {
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, encoding, done) {
      if (level === '' || typeof chunk !== 'string') {
        const data = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
        if (shared === null) writeAll(fd, data); else shared.print(data);
      } else {
        logLine(level, chunk.endsWith('\n') ? chunk.slice(0, -1) : chunk);
      }
      done();
    },
  });
  stream.fd = fd;
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream });
}

const letters = { debug: 'D', log: 'I', info: 'I', warn: 'W', error: 'E', trace: 'E' };

function replaceConsole() {
  for (const name of Object.keys(letters)) {
    const original = console[name];
    console[name] = (...args) => {
      const before = level;
      level = letters[name];
      try {
        original.apply(console, args);
      } finally {
        level = before;
      }
    };
  }
}

// --- frames

const small = Buffer.allocUnsafe(64 << 10); // every frame that fits is built here
const incoming = Buffer.allocUnsafe(64 << 10);
const EMPTY = Buffer.alloc(0);
let socket = null;
let begun = EMPTY; // the first bytes of a frame whose head is not complete
let whole = null; // a frame that did not come in one piece
let have = 0; // bytes of it

function receive(count) {
  if (shared !== null) return shared.receive(incoming.slice(0, count));
  if (callbacks !== null) return callbacks.receive(incoming.slice(0, count));
  if (whole === null && begun.length === 0 && count >= HEAD && incoming.readUInt32BE(0) + HEAD === count) {
    dispatch(incoming, count);
    return true;
  }
  let chunk = incoming.slice(0, count);
  if (whole === null) {
    begun = Buffer.concat([begun, chunk]);
    if (begun.length < HEAD) return true;
    whole = Buffer.allocUnsafe(begun.readUInt32BE(0) + HEAD);
    have = 0;
    chunk = begun;
    begun = EMPTY;
  }
  if (have + chunk.length > whole.length) exit(1); // calls come one at a time
  have += chunk.copy(whole, have);
  if (have === whole.length) {
    const frame = whole;
    whole = null;
    dispatch(frame, frame.length);
  }
  return true;
}

function head(buffer, type, seq, meta, body) {
  buffer.writeUInt32BE(meta + body, 0);
  buffer[4] = type;
  buffer[5] = 0;
  buffer.writeUInt16BE(meta, 6);
  buffer.writeUInt32BE(seq, 8);
}

// send writes at once what the socket takes, and leaves to Node what it does not.
function send(buffer, end) {
  if (socket.writableLength > 0) { // behind another answer
    socket.write(Buffer.from(buffer.slice(0, end)));
    return;
  }
  for (let at = 0; at < end;) {
    try {
      at += writeSync(CONTROL, buffer, at, end - at);
    } catch (error) {
      if (error.code !== 'EAGAIN') exit(1); // the function has closed the socket
      socket.write(Buffer.from(buffer.slice(at, end)));
      return;
    }
  }
}

function sendEmpty(type, seq = 0) {
  head(small, type, seq, 0, 0);
  send(small, HEAD);
}

function sendResult(seq, text, limit) {
  let buffer = small;
  let size;
  if (text.length * 3 + HEAD + 4 <= small.length) {
    size = small.write(text, HEAD + 4);
  } else {
    size = Buffer.byteLength(text);
    if (size <= limit) {
      buffer = Buffer.allocUnsafe(HEAD + 4 + size);
      buffer.write(text, HEAD + 4);
    }
  }
  if (size > limit) {
    sendFailure(seq, FAIL_TOO_LARGE, {
      errorMessage: `the result is ${size} bytes of JSON, over the limit of ${limit}`,
      errorType: 'ResponseTooLarge',
      stackTrace: [],
    });
    return;
  }
  head(buffer, RESULT, seq, 4, size);
  buffer.writeUInt32BE(peak(), HEAD);
  send(buffer, HEAD + 4 + size);
}

function sendFailure(seq, kind, failure) {
  const body = Buffer.from(stringify(failure));
  const buffer = Buffer.allocUnsafe(HEAD + 1 + body.length);
  head(buffer, FAILED, seq, 1, body.length);
  buffer[HEAD] = kind.charCodeAt(0);
  body.copy(buffer, HEAD + 1);
  send(buffer, buffer.length);
}

// --- memory

// The kernel hands on the peak from the program that started this one. It tells nothing before this process has outgrown
// it, and until then the slower /proc is asked.
let inherited = 0;

function statusPeak() {
  try {
    return parseInt(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1], 10);
  } catch (error) {
    return 0; // no /proc here
  }
}

function peak() {
  const kib = process.resourceUsage().maxRSS;
  return kib > inherited ? kib : statusPeak();
}

// --- errors

function describe(error) {
  try {
    if (error !== null && typeof error === 'object' && ('stack' in error || 'message' in error)) {
      return {
        errorMessage: cut(String(error.message), MAX_MESSAGE),
        errorType: cut(String(error.name || error.constructor.name), 200),
        stackTrace: stackLines(String(error.stack || '')),
      };
    }
    const text = typeof error === 'string' ? error : util.inspect(error);
    return { errorMessage: cut(text, MAX_MESSAGE), errorType: 'Error', stackTrace: [] };
  } catch (_) {
    return { errorMessage: '<this error cannot be printed>', errorType: 'Error', stackTrace: [] };
  }
}

function cut(text, limit) {
  return text.length > limit ? text.slice(0, limit) + '...' : text;
}

function stackLines(stack) {
  const ours = (line) => /^\s+at /.test(line) && (line.includes(__filename) || /\(?(node:)?internal\//.test(line));
  const lines = stack.split('\n').filter((line) => !ours(line)).map((line) => line.slice(0, MAX_LINE));
  if (lines.length > MAX_STACK) {
    const half = MAX_STACK / 2;
    lines.splice(half, lines.length - 2 * half, `... ${lines.length - 2 * half} lines left out ...`);
  }
  return lines;
}

class HandlerNotFound extends Error {
  get name() { return 'HandlerNotFound'; }
}

// --- context

const LEVELS = { DEBUG: 10, INFO: 20, WARN: 30, WARNING: 30, ERROR: 40 };

class Logger {
  constructor() {
    this.level = LEVELS.INFO;
  }

  setLevel(name) {
    const number = LEVELS[String(name).toUpperCase()];
    if (number === undefined) throw new RangeError(`level ${name} is none of DEBUG, INFO, WARN, ERROR`);
    this.level = number;
  }

  debug(...args) { this.write(LEVELS.DEBUG, 'D', args); }
  info(...args) { this.write(LEVELS.INFO, 'I', args); }
  log(...args) { this.write(LEVELS.INFO, 'I', args); }
  warn(...args) { this.write(LEVELS.WARN, 'W', args); }
  warning(...args) { this.write(LEVELS.WARN, 'W', args); }
  error(...args) { this.write(LEVELS.ERROR, 'E', args); }

  write(number, letter, args) {
    if (number >= this.level) logLine(letter, util.format(...args));
  }
}

let spec = null; // the load
let userData = null;
const logger = new Logger();

// Context is what a handler gets beside the event.
class Context {
  constructor(requestID, deadline) {
    this.requestID = requestID;
    this.deadline = deadline; // Unix milliseconds
    this.extra = null;
  }

  getRequestID() { return this.requestID; }
  getRemainingTimeInMilliSeconds() { return Math.max(0, this.deadline - now()); }
  // The timeout of the function: that is what FunctionGraph means by this name.
  getRunningTimeInSeconds() { return spec.timeout_s; }
  getAccessKey() { return spec.access_key; }
  getSecretKey() { return spec.secret_key; }
  getSecurityAccessKey() { return spec.access_key; }
  getSecuritySecretKey() { return spec.secret_key; }
  getSecurityToken() { return spec.security_token; }
  getToken() { return spec.auth_token; }
  getUserData(key, missing) { return userData.has(key) ? userData.get(key) : missing; }
  getFunctionName() { return spec.function; }
  getVersion() { return spec.version; }
  getMemorySize() { return spec.memory_mb; }
  getCPUNumber() { return spec.cpu_millis; }
  getProjectID() { return spec.project_id; }
  getPackage() { return spec.package; }
  getLogger() { return logger; }
  getAlias() { return (this.extra && this.extra.alias) || ''; }
  getWorkflowID() { return (this.extra && this.extra.workflow_id) || ''; }
  getWorkflowRunID() { return (this.extra && this.extra.workflow_run_id) || ''; }
  getWorkflowStateID() { return (this.extra && this.extra.workflow_state_id) || ''; }
  getWorkflowAttempt() { return (this.extra && this.extra.workflow_attempt) || 0; }
}

// --- life

let handler = null;
let beatHandler = null;
let stopHandler = null;
let stage = FAIL_LOAD; // what an error nobody caught means just now
let busy = true; // an answer is owed
let seq = 0; // of the call that runs

function dispatch(buffer, end) {
  const type = buffer[4];
  const meta = HEAD + buffer.readUInt16BE(6);
  if (type === CALL && handler !== null && !busy) {
    busy = true;
    seq = buffer.readUInt32BE(8);
    const deadline = buffer.readUInt32BE(HEAD) * 4294967296 + buffer.readUInt32BE(HEAD + 4);
    call(deadline, buffer.latin1Slice(HEAD + 8, meta), buffer.utf8Slice(meta, end));
  } else if ((type === BEAT || type === STOP) && handler !== null && !busy) {
    attend(type, buffer.readUInt32BE(8));
  } else if (type === LOAD && spec === null) {
    load(parse(buffer.utf8Slice(meta, end)));
  } else {
    exit(1);
  }
}

// invoke calls a function of the user's and reports once how it ended: by its promise, by the callback it was given, or,
// when it declares no parameter for a callback, by returning.
function invoke(fn, args, succeed, fail) {
  const callback = (error, value) => (error ? fail(error) : succeed(value));
  let result;
  let then;
  try {
    result = args.length === 2 ? fn(args[0], args[1], callback) : fn(args[0], callback);
    then = result !== null && typeof result === 'object' ? result.then : undefined;
  } catch (error) {
    fail(error);
    return;
  }
  if (typeof then === 'function') {
    Promise.resolve(result).then(succeed, fail);
  } else if (fn.length <= args.length) {
    succeed(result);
  }
}

// attend answers what is no call: the question whether all is well, and the word that this is the end.
function attend(type, mine) {
  const hook = type === BEAT ? beatHandler : stopHandler;
  if (hook === null) exit(1);
  let open = true;
  const end = (well) => {
    if (!open) return;
    open = false;
    if (type === STOP && well) {
      sendEmpty(STOPPED, mine);
    } else if (type === STOP) {
      sendFailure(mine, FAIL_EXCEPTION, { errorMessage: 'the pre-stop handler threw', errorType: 'PreStop', stackTrace: [] });
    } else {
      const buffer = Buffer.alloc(HEAD + 1);
      head(buffer, BEATEN, mine, 1, 0);
      buffer[HEAD] = well ? 1 : 0;
      send(buffer, buffer.length);
    }
  };
  const fail = (error) => {
    const failure = describe(error);
    logLine('E', failure.stackTrace.join('\n') || failure.errorType + ': ' + failure.errorMessage);
    end(false);
  };
  const deadline = now() + (type === STOP ? spec.stop_timeout_s : 3) * 1000;
  invoke(hook, [new Context('', deadline)], (said) => end(type === STOP || Boolean(said)), fail);
}

function call(deadline, id, event) {
  const mine = seq;
  const open = () => busy && seq === mine; // else another has answered this call
  const fail = (error) => { if (open()) answerFailure(FAIL_EXCEPTION, error); };
  const succeed = (value) => { if (open()) answer(value); };
  run(deadline, id, event, succeed, fail);
}

function run(deadline, id, event, succeed, fail) {
  const zero = id.indexOf('\0');
  const context = new Context(zero < 0 ? id : id.slice(0, zero), deadline);
  let input;
  try {
    if (zero >= 0) context.extra = parse(Buffer.from(id.slice(zero + 1), 'latin1').toString());
    if (context.extra && context.extra.credentials) {
      Object.assign(spec, context.extra.credentials);
      delete context.extra.credentials;
    }
    input = parse(event);
  } catch (error) {
    fail(error);
    return;
  }
  if (callbacks !== null) {
    callbacks.run(handler, context.requestID, context.extra || {}, input, succeed, fail);
    return;
  }
  invoke(handler, [input, context], succeed, fail);
}

function toText(value) {
  const text = value === undefined ? 'null' : stringify(value);
  if (text === undefined) throw new TypeError(`a ${typeof value} has no JSON form`);
  return text;
}

function answer(value) {
  let text;
  try {
    text = toText(value);
  } catch (error) {
    answerFailure(FAIL_RESULT, error);
    return;
  }
  busy = false;
  sendResult(seq, text, spec.max_result);
}

function answerFailure(kind, error) {
  busy = false;
  fail(seq, kind, error);
}

function fail(seq, kind, error) {
  const failure = describe(error);
  if (kind === FAIL_RESULT) {
    failure.errorMessage = 'the result cannot be written as JSON: ' + failure.errorMessage;
    failure.stackTrace = [];
  }
  sendFailure(seq, kind, failure);
}

// crash ends the process after an error that nobody caught: its state cannot be trusted any more.
function crash(error) {
  if (shared !== null && handler !== null && shared.owed() > 0) {
    shared.crash((mine) => fail(mine, FAIL_LAST, error));
  } else if (busy && spec !== null) {
    answerFailure(stage === FAIL_EXCEPTION ? FAIL_LAST : stage, error);
  } else {
    const failure = describe(error);
    logLine('E', failure.stackTrace.join('\n') || failure.errorType + ': ' + failure.errorMessage);
  }
  if (socket.writableLength > 0) {
    socket.end(() => exit(1));
  } else {
    exit(1);
  }
}

async function load(value) {
  spec = value;
  userData = new Map(Object.entries(spec.user_data || {}));
  try {
    Object.assign(process.env, spec.env || {});
    process.chdir(spec.code_root);
    if (spec.contract === 'callback') {
      letters.log = 'L';
      callbacks = require('./callback.js')({
        ASK, TOLD, HEAD, spec, parse, stringify, head, send, dispatch, line: logLine, socket: () => socket, seq: () => seq,
      });
    }
    if (spec.concurrency > 1) {
      shared = require('./shared.js')({ CALL, BEAT, STOP, HEAD, exit, run, attend, toText, sendResult, fail, writeAll, FAIL_EXCEPTION, FAIL_RESULT });
    }
    const found = await find(spec.handler);
    if (spec.beat_handler) beatHandler = await find(spec.beat_handler);
    if (spec.stop_handler) stopHandler = await find(spec.stop_handler);
    const initializer = spec.init_handler ? await find(spec.init_handler) : null;
    if (initializer !== null) {
      stage = FAIL_INIT;
      const context = new Context('', now() + spec.init_timeout_s * 1000);
      await new Promise((resolve, reject) => invoke(initializer, [context], resolve, reject));
    }
    handler = found;
  } catch (error) {
    if (callbacks !== null) logLine('E', describe(error).stackTrace.join('\n') || String(error));
    answerFailure(stage, error);
    return;
  }
  stage = FAIL_EXCEPTION;
  busy = false;
  if (shared !== null) shared.begin(() => spec.max_result);
  sendEmpty(LOADED);
}

// find loads the module of a handler such as "index.handler" or "src/index.handler" and gives the function.
async function find(name) {
  const dot = name.lastIndexOf('.');
  const base = path.join(spec.code_root, name.slice(0, dot));
  const file = ['.js', '.mjs', '.cjs'].map((end) => base + end).find((f) => existsSync(f));
  if (file === undefined) {
    throw new HandlerNotFound(`there is no ${name.slice(0, dot)}.js, .mjs or .cjs in the package`);
  }
  const module = isModule(file) ? await import(pathToFileURL(file).href) : createRequire(file)(file);
  const key = name.slice(dot + 1);
  let fn = callbacks !== null ? callbacks.pick(module, key) : module === null || module === undefined ? undefined : module[key];
  if (fn === undefined && module && module.default) fn = module.default[key];
  if (typeof fn !== 'function') {
    throw new HandlerNotFound(`${path.basename(file)} exports no function ${stringify(key)}`);
  }
  return fn;
}

// isModule tells whether a file is an ECMAScript module, by its ending or by the nearest package.json.
function isModule(file) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    const description = path.join(dir, 'package.json');
    if (existsSync(description)) return parse(readFileSync(description, 'utf8')).type === 'module';
    if (dir === spec.code_root || dir === path.dirname(dir)) return false;
  }
}

function main() {
  replaceOutput('stdout', 1);
  replaceOutput('stderr', 2);
  replaceConsole();
  const started = process.resourceUsage().maxRSS;
  const own = statusPeak();
  if (own > 0 && started > own + 1024) inherited = started;
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  socket = new net.Socket({ fd: CONTROL, readable: true, writable: true, onread: { buffer: incoming, callback: receive } });
  socket.on('error', () => exit(1));
  socket.on('end', () => exit(0));
  socket.resume();
  sendEmpty(READY);
}

main();
