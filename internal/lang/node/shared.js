// Serves several calls of a function side by side on the event loop. worker.js loads it where that is asked for.
//
// Log lines carry the number of their call (internal/lang/protocol.go), which follows the call through its promises, timers and
// callbacks. Node.js before 12.17 has no means for that: there lines have no number.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');

const NEWLINE = 10;
const LONG = 64 << 10; // a line without an end is written when it has so many bytes

module.exports = (worker) => {
  const { CALL, BEAT, STOP, HEAD } = worker;
  const storage = AsyncLocalStorage ? new AsyncLocalStorage() : null;
  const owed = new Set(); // numbers of the calls that run
  const rests = new Map(); // call -> what it has printed behind its last line end
  let limit = null; // what a result may have; a function, and null until calls may come
  let data = Buffer.alloc(0);

  const current = () => (storage === null ? 0 : storage.getStore() || 0);
  const mark = (call) => (call === 0 ? '' : `\x1d${call}\x1d`);

  function line(call, text) {
    worker.writeAll(1, Buffer.concat([Buffer.from('\x1eI' + mark(call)), text, Buffer.from('\n')]));
  }

  function print(bytes) {
    const call = current();
    let rest = rests.has(call) ? Buffer.concat([rests.get(call), bytes]) : bytes;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      line(call, rest.slice(0, end));
      rest = rest.slice(end + 1);
    }
    if (rest.length > LONG) {
      line(call, rest);
      rest = rest.slice(rest.length);
    }
    if (rest.length > 0) rests.set(call, Buffer.from(rest)); else rests.delete(call);
  }

  function finish(call) {
    if (rests.has(call)) line(call, rests.get(call));
    rests.delete(call);
  }

  // end gives a call its one answer; what comes later for it is dropped.
  function end(call, answer) {
    if (!owed.delete(call)) return;
    finish(call);
    answer();
  }

  function call(seq, deadline, id, event) {
    const fail = (error) => end(seq, () => worker.fail(seq, worker.FAIL_EXCEPTION, error));
    const succeed = (value) => end(seq, () => {
      let text;
      try {
        text = worker.toText(value);
      } catch (error) {
        worker.fail(seq, worker.FAIL_RESULT, error);
        return;
      }
      worker.sendResult(seq, text, limit());
    });
    const run = () => worker.run(deadline, id, event, succeed, fail);
    owed.add(seq);
    if (storage === null) run(); else storage.run(seq, run);
  }

  function dispatch(frame) {
    const type = frame[4];
    const seq = frame.readUInt32BE(8);
    const meta = HEAD + frame.readUInt16BE(6);
    if (type === CALL && limit !== null && !owed.has(seq)) {
      const deadline = frame.readUInt32BE(HEAD) * 4294967296 + frame.readUInt32BE(HEAD + 4);
      call(seq, deadline, frame.latin1Slice(HEAD + 8, meta), frame.utf8Slice(meta, frame.length));
    } else if ((type === BEAT || type === STOP) && limit !== null) {
      worker.attend(type, seq);
    } else {
      worker.exit(1);
    }
  }

  return {
    tag: () => mark(current()),
    print,
    owed: () => owed.size,
    begin(maxResult) { limit = maxResult; },
    receive(chunk) { // several frames can come in one piece
      data = data.length === 0 ? Buffer.from(chunk) : Buffer.concat([data, chunk]);
      while (data.length >= HEAD && data.length >= data.readUInt32BE(0) + HEAD) {
        const size = data.readUInt32BE(0) + HEAD;
        const frame = data.slice(0, size);
        data = data.slice(size);
        dispatch(frame);
      }
      return true;
    },
    crash(fail) { // every call ends with the error that ended the process
      for (const seq of [...owed]) end(seq, () => fail(seq));
    },
  };
};
