// Serves functions that answer by a callback: exports.main(event, callback), or async. worker.js loads it where the load asks
// for that contract (minapp reference 4).
//
// The event is an envelope around the caller's data. The answer goes out when the event loop has nothing left to do. What
// the global BaaS asks of the platform goes over the control channel, as a function may have no network.
'use strict';

const VERSION = 'v3.23.6';

// What BaaS has elsewhere and not here, with what it would need.
const MISSING = [
  'TableObject', 'Query', 'User', 'UserGroup', 'File', 'FileCategory', 'ContentGroup', 'Content', 'GeoPoint', 'GeoPolygon', 'Order',
  'TemplateMessage', 'getAsyncJobResult', 'sendEmail', 'sendSmsCode', 'verifySmsCode', 'wxAccessToken', 'getWechatAccessToken',
  'genVideoSnapshot', 'videoConcat', 'videoClip', 'videoMeta', 'videoAudioMeta', 'censorImage', 'censorText', 'censorMsg',
  'sendTemplateMessage', 'sendSubscribeMessage', 'decryptData', 'wxPay', 'alipayTrade',
];

// HError is what BaaS fails with.
class HError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'HError';
    this.code = code;
  }
}

module.exports = (worker) => {
  const { ASK, TOLD, HEAD, spec, parse, stringify, line } = worker;
  const questions = new Map(); // number -> { resolve, reject }
  let asked = 0;
  let running = false; // a call is under way
  let pending = null; // answers the call once nothing is left to do
  let data = Buffer.alloc(0);

  // --- the end of a call

  // settle answers when the event loop is empty: the control channel must not keep it from that. An answer of the platform
  // that is still to come keeps it.
  function settle(answer) {
    pending = answer;
    loosen();
  }

  function loosen() {
    if (pending !== null && questions.size === 0) worker.socket().unref();
  }

  process.on('beforeExit', () => {
    worker.socket().ref();
    if (pending === null) return;
    const answer = pending;
    pending = null;
    running = false;
    answer();
  });

  // --- calls

  function envelope(id, extra, input) {
    const event = {
      data: input,
      eventType: { api: 'open_api', destination: 'cloud_function' }[extra.source] || extra.source || null,
      jobId: id.replace(/-/g, ''),
      memoryLimitInMB: spec.memory_mb,
      timeLimitInMS: extra.limit_ms || spec.timeout_s * 1000,
      miniappId: parseInt(spec.project_id.slice(0, 7), 16) || 0,
      request: { meta: {}, user: null },
      debug: false,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    };
    if (spec.package !== 'default') event.env = { id: spec.package, name: spec.package };
    if (extra.origin) Object.assign(event, parse(extra.origin));
    delete event._depth;
    return event;
  }

  function show(value) {
    try {
      return stringify(value);
    } catch (error) {
      return String(value);
    }
  }

  // run makes a call. The first of these counts: the callback, a value that a promise comes to, an error. A promise that comes
  // to undefined says nothing, and neither does a plain return.
  function run(handler, id, extra, input, succeed, fail) {
    let open = true;
    running = true;
    const end = (answer, value, text) => {
      if (!open) return;
      open = false;
      line('L', 'return:  ' + text);
      settle(() => answer(value));
    };
    const succeeded = (value) => end(succeed, value === undefined ? null : value, show(value === undefined ? null : value));
    const failed = (error) => end(fail, error, show({ error: String((error && error.message) || error) }));
    const callback = (error, value) => { if (error) failed(error); else succeeded(value); };
    line('L', 'event.data:  ' + show(input));
    let result;
    let then;
    try {
      result = handler(envelope(id, extra, input), callback);
      then = result !== null && typeof result === 'object' ? result.then : undefined;
    } catch (error) {
      failed(error);
      return;
    }
    if (typeof then === 'function') {
      Promise.resolve(result).then((value) => { if (value !== undefined) succeeded(value); }, failed);
    }
  }

  // --- the control channel

  function ask(question) {
    if (!running) return Promise.reject(new HError(602, 'BaaS can be asked only while a call runs'));
    const number = ++asked;
    const body = Buffer.from(stringify(question));
    const buffer = Buffer.allocUnsafe(HEAD + 4 + body.length);
    worker.head(buffer, ASK, worker.seq(), 4, body.length);
    buffer.writeUInt32BE(number, HEAD);
    body.copy(buffer, HEAD + 4);
    return new Promise((resolve, reject) => {
      questions.set(number, { resolve, reject });
      worker.socket().ref();
      worker.send(buffer, buffer.length);
    });
  }

  function told(frame) {
    const number = frame.readUInt32BE(HEAD);
    const question = questions.get(number);
    if (question === undefined) return;
    questions.delete(number);
    const answer = parse(frame.utf8Slice(HEAD + 4, frame.length));
    if (answer.status) question.reject(new HError(answer.status, answer.reason)); else question.resolve(answer.result);
    setImmediate(loosen); // behind what the function makes of it
  }

  function receive(chunk) {
    data = data.length === 0 ? Buffer.from(chunk) : Buffer.concat([data, chunk]);
    while (data.length >= HEAD && data.length >= data.readUInt32BE(0) + HEAD) {
      const size = data.readUInt32BE(0) + HEAD;
      const frame = data.slice(0, size);
      data = data.slice(size);
      if (frame[4] === TOLD) told(frame); else worker.dispatch(frame, size);
    }
    return true;
  }

  // --- BaaS

  const BaaS = {
    VERSION,
    HError,
    async invoke(name, params, sync = true) {
      if (typeof name !== 'string' || name === '') throw new HError(605, 'BaaS.invoke needs the name of a function');
      return ask({ invoke: name, data: params === undefined ? {} : params, sync: sync !== false });
    },
    async invokeFunction(name, params, sync = true) {
      const answer = await BaaS.invoke(name, params, sync);
      return { status: 200, statusText: 'OK', statusCode: 200, headers: {}, data: answer };
    },
    request: require('./request.js')(HError),
    async getServerDate() {
      return { status: 200, statusText: 'OK', statusCode: 200, headers: {}, data: { time: new Date().toISOString() } };
    },
    // useVersion takes any version of the SDK that there has been; what BaaS has here is the same in all of them.
    useVersion(version) {
      if (!/^v[1-9]\d*(\.\d+){0,2}$/.test(version)) throw new HError(605, `BaaS.useVersion: ${version} is not a version like v3.2`);
      BaaS.VERSION = version;
    },
  };
  for (const name of MISSING) {
    BaaS[name] = function missing() {
      throw new HError(611, `BaaS.${name} is not available here: this server keeps functions, and no data tables, users, files or messages`);
    };
  }
  Object.defineProperty(globalThis, 'BaaS', { value: BaaS, writable: true, configurable: true, enumerable: false });

  return {
    receive,
    run,
    // pick finds the function in what a module exports: under its name, as the export itself, or as an ES module's default.
    pick(module, key) {
      const all = [module && module[key], module, module && module.default && module.default[key], module && module.default];
      return all.find((candidate) => typeof candidate === 'function');
    },
  };
};
