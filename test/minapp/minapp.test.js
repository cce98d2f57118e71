'use strict';
// Drives a real server with the unmodified mincloud (the command line of minapp) and minapp-sdk (its SDK for pages, under jsdom).

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { before, after, describe, it } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');
const { JSDOM } = require('jsdom');

const server = require('../node/server');

const missing = fs.existsSync(server.binary) ? false : `no program to test at ${server.binary}; run \`make build\``;
if (missing && process.env.HANSHU_TEST_NO_SKIP === '1') {
  throw new Error(missing);
}

const mincloud = require.resolve('mincloud/bin/faas-cli.js');
const sdk = path.join(path.dirname(require.resolve('minapp-sdk/package.json')), 'lib', 'web.js');

const hello = `exports.main = function (event, callback) {
  console.log('greeting', event.data.name);
  callback(null, { greeting: 'hello ' + event.data.name, type: event.eventType, user: event.request.user, limit: event.timeLimitInMS });
};
`;

describe('minapp', { skip: missing }, () => {
  let running;
  let home;
  let token;

  before(async () => {
    running = await server.start();
    home = fs.mkdtempSync(path.join(os.tmpdir(), 'hanshu-minapp-'));
  });
  after(async () => {
    if (running) await running.stop();
    if (home) fs.rmSync(home, { recursive: true, force: true });
  });

  // cli runs mincloud and gives { code, out }.
  function cli(...args) {
    const env = { PATH: process.env.PATH, HOME: home, mincloud_base_url: running.endpoint + '/' };
    return new Promise((resolve) => {
      execFile(process.execPath, [mincloud, ...args], { cwd: home, env }, (error, stdout, stderr) => {
        resolve({ code: error ? error.code : 0, out: stdout + stderr });
      });
    });
  }

  async function api(method, target, body, headers = {}) {
    const answer = await fetch(running.endpoint + target, {
      method,
      headers: { authorization: 'Bearer ' + token, 'content-type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? null : JSON.parse(text) };
  }

  // finished waits until a function has so many jobs of a type, and all have ended: records are stored behind the answers.
  async function finished(name, type, count = 1) {
    for (const end = Date.now() + 60_000; Date.now() < end; await delay(20)) {
      const { body } = await api('GET', `/oserve/v1.3/cloud-function/${name}/job/?service_type=${type}`);
      if (body.objects.length >= count && body.objects.every((job) => job.finished_at !== null)) return body.objects;
    }
    throw new Error(`the jobs of ${name} did not end`);
  }

  function page() {
    const dom = new JSDOM('', { url: running.endpoint + '/', runScripts: 'outside-only' });
    dom.window.eval(fs.readFileSync(sdk, 'utf8'));
    return dom.window;
  }

  describe('mincloud 1.2.3', () => {
    it('logs in', async () => {
      const { client_id: id, client_secret: secret } = running.admin.minapp;
      const { code, out } = await cli('login', id, secret);
      assert.equal(code, 0, out);
      token = /tokens\s*=\s*[^:\n]+:([0-9a-f]{40})/.exec(fs.readFileSync(path.join(home, '.mincloudrc'), 'utf8'))[1];
      assert.notEqual((await cli('login', id, 'wrong')).code, 0);
    });

    it('deploys a function twice, and lists it', async () => {
      fs.writeFileSync(path.join(home, 'hello.js'), 'exports.main = (event, callback) => callback(null, 1)\n');
      let done = await cli('deploy', 'hello', '-m', 'first');
      assert.equal(done.code, 0, done.out);
      fs.writeFileSync(path.join(home, 'hello.js'), hello);
      done = await cli('deploy', 'hello', '-m', 'second');
      assert.equal(done.code, 0, done.out);
      const { body } = await api('GET', '/oserve/v1.3/cloud-function/');
      assert.equal(body.meta.total_count, 1);
      assert.deepEqual([body.objects[0].name, body.objects[0].function_code, body.objects[0].remark], ['hello', hello, 'second']);
      const list = await cli('list');
      assert.match(list.out, /hello/);
    });

    it('invokes it', async () => {
      const { code, out } = await cli('invoke', 'hello', '{"name":"ada"}');
      assert.equal(code, 0, out);
      assert.match(out, /hello ada/);
      assert.match(out, /LOG greeting ada/);
    });

    it('invokes one that throws', async () => {
      fs.writeFileSync(path.join(home, 'broken.js'), 'exports.main = () => { throw new RangeError("too far") }\n');
      assert.equal((await cli('deploy', 'broken')).code, 0);
      assert.match((await cli('invoke', 'broken')).out, /too far/);
    });

    it('pulls it as it was', async () => {
      fs.rmSync(path.join(home, 'hello.js'));
      const { code, out } = await cli('pull', 'hello');
      assert.equal(code, 0, out);
      const found = ['hello.js', path.join('hello', 'index.js')].map((f) => path.join(home, f)).find((f) => fs.existsSync(f));
      assert.ok(found, out);
      assert.equal(fs.readFileSync(found, 'utf8').trim(), hello.trim());
    });

    it('makes one anew, and deletes', async () => {
      assert.equal((await cli('new', 'fresh')).code, 0);
      assert.equal((await cli('delete', 'fresh')).code, 0);
      assert.notEqual((await cli('delete', 'fresh')).code, 0);
      assert.equal((await api('GET', '/oserve/v1.3/cloud-function/fresh/')).status, 404);
    });

    it('keeps environments apart', async () => {
      fs.writeFileSync(path.join(home, 'tested.js'), 'exports.main = async (event) => event.env\n');
      assert.equal((await cli('deploy', 'tested', '-e', 'staging')).code, 0);
      assert.equal((await api('GET', '/oserve/v1.3/cloud-function/tested/')).status, 404);
      const { out } = await cli('invoke', 'tested', '-e', 'staging');
      assert.match(out, /staging/);
    });
  });

  describe('minapp-sdk 3.23.6', () => {
    let baas;

    it('logs a user in', async () => {
      baas = page().BaaS;
      baas.init(running.admin.minapp.client_id, { host: running.endpoint });
      await assert.rejects(baas.auth.login({ username: running.admin.user, password: 'wrong' }));
      const user = await baas.auth.login({ username: running.admin.user, password: running.admin.password });
      assert.ok(user);
      await assert.rejects(baas.auth.anonymousLogin());
    });

    it('invokes and waits', async () => {
      const { code, data } = await baas.invoke('hello', { name: 'eve' }, true);
      assert.equal(code, 0);
      assert.equal(data.greeting, 'hello eve');
      assert.equal(data.type, 'sdk');
      assert.equal(data.user.nickname, running.admin.user);
      assert.equal(data.limit, 5000);
    });

    it('invokes and does not wait', async () => {
      const answer = await baas.invoke('hello', { name: 'bob' }, false);
      assert.equal(answer.status, 'ok');
      const [job] = await finished('hello', 'batch');
      assert.deepEqual([job.status, job.service_type, job.source], ['fulfilled', 'batch', 'sdk']);
      const log = await (await fetch(job.user_log_url)).text();
      assert.match(log, /^\d{4}-\d\d-\d\dT[\d:.]+Z LOG event\.data: {2}\{"name":"bob"\}\n.* LOG greeting bob\n.* LOG return: {2}\{/);
      assert.equal((await fetch(job.user_log_url.replace(/Signature=./, 'Signature=_'))).status, 403);
    });

    it('tells of what fails', async () => {
      const { code, error } = await baas.invoke('broken', {}, true);
      assert.deepEqual([code, error.message, error.type], [1, 'too far', 'RangeError']);
      await assert.rejects(baas.invoke('nobody', {}, true), (e) => e.code === 404);
    });
  });

  describe('the contract of functions', () => {
    async function call(source, data, name = 'contract') {
      const path = `/oserve/v1.3/cloud-function/${name}/`;
      if ((await api('PATCH', path, { function_code: source })).status === 404) {
        assert.equal((await api('POST', '/oserve/v1.3/cloud-function/', { name: decodeURIComponent(name), function_code: source })).status, 201);
      }
      const { status, body } = await api('POST', path + 'job/', { data, sync: true });
      assert.equal(status, 200, JSON.stringify(body));
      return body;
    }

    const endings = {
      'a callback': ['exports.main = (event, callback) => callback(null, event.data)', [0, { a: 1 }]],
      'a callback with an error': ['exports.main = (event, callback) => callback(new TypeError("no"))', [1, 'no', 'TypeError']],
      'a callback with a text as error': ['exports.main = (event, callback) => callback("no")', [1, 'no', 'Error']],
      'a promise': ['exports.main = async (event) => event.data.a', [0, 1]],
      'a promise that comes to null': ['exports.main = async () => null', [0, null]],
      'a promise that fails': ['exports.main = async () => { throw new Error("no") }', [1, 'no', 'Error']],
      'a callback in an async function': ['exports.main = async (event, callback) => callback(null, 5)', [0, 5]],
      'the module itself': ['module.exports = (event, callback) => callback(null, 6)', [0, 6]],
      'the default of a module': ['exports.default = async () => 7', [0, 7]],
      'code that is none': ['exports.main = (', [1]],
      'nothing to call': ['exports.other = 1', [1]],
    };
    for (const [name, [source, want]] of Object.entries(endings)) {
      it(`ends with ${name}`, async () => {
        const got = await call(source, { a: 1 });
        assert.equal(got.code, want[0]);
        if (want[0] === 0) assert.deepEqual(got.data, want[1]);
        else if (want.length > 1) assert.deepEqual([got.error.message, got.error.type], want.slice(1));
      });
    }

    it('waits until nothing is left to do', async () => {
      await call('exports.main = (event, callback) => { callback(null, 1); setTimeout(() => { global.late = true; console.log("late") }, 200) }');
      const { body } = await api('POST', '/oserve/v1.3/cloud-function/contract/debug/', { data: {} });
      assert.match(body.log, /LOG return: {2}1\n.* LOG late\n$/);
      assert.ok(body.execution_time >= 200);
      assert.equal(body.billing_time % 100, 0);
      assert.match(body.job_id, /^[0-9a-f]{32}$/);
    });

    it('ends undefined at the deadline', { timeout: 60_000 }, async () => {
      const got = await call('exports.main = async () => undefined', {}, 'endless');
      assert.deepEqual([got.code, got.error.type], [1, 'TimeoutError']);
      const [job] = await finished('endless', 'time_sensitive');
      assert.equal(job.status, 'deadline_exceeded');
    });

    it('calls other functions, as deep as may be', async () => {
      await call('exports.main = async (event) => event.data.n * 2', { n: 1 }, 'double');
      const got = await call(`const twice = (n) => BaaS.invoke('double', { n });
        exports.main = async (event) => {
          const all = await Promise.all([1, 2, 3].map(twice));
          const whole = await BaaS.invokeFunction('double', { n: 4 });
          const later = await BaaS.invoke('double', { n: 5 }, false);
          const nobody = await BaaS.invoke('nobody').catch((e) => [e.name, e.code]);
          return [all.map((r) => r.data), whole.data.data, later, nobody];
        }`, {});
      assert.deepEqual(got.data, [[2, 4, 6], 8, { status: 'ok' }, ['HError', 404]]);
      assert.ok((await finished('double', 'batch'))[0].source === 'cloud_function');
      const deep = await call(`exports.main = async (event) => {
        const n = event.data.n || 0;
        try { const r = await BaaS.invoke('deep', { n: n + 1 }); return r.data } catch (e) { return [n, e.name, e.code] } }`, {}, 'deep');
      assert.deepEqual(deep.data, [8, 'HError', 400]);
    });

    it('says of BaaS what is not here', async () => {
      const got = await call(`const at = BaaS.VERSION; BaaS.useVersion('v3.2');
        const code = async (f) => { try { await f() } catch (e) { return [e.name, e.code] } };
        exports.main = async () => [typeof at, BaaS.VERSION, await code(() => new BaaS.TableObject('x')), await code(() => BaaS.request({ url: 'http://127.0.0.1' })),
          typeof (await BaaS.getServerDate()).data.time]`, {});
      assert.deepEqual(got.data, ['string', 'v3.2', ['HError', 611], ['HError', 600], 'string']);
    });

    it('takes a name in any script, and another one later', async () => {
      const name = encodeURIComponent('测试');
      assert.equal((await call('exports.main = async () => 1', {}, name)).data, 1);
      const made = await api('PATCH', `/userve/v1.3/cloud-function/${name}`, { name: 'come_from_open_API_v1.3', plan_circle: 'P_PERSONAL' });
      assert.equal(made.status, 202);
      assert.deepEqual([made.body.name, made.body.plan_circle], ['come_from_open_API_v1.3', 'P_PERSONAL']);
      assert.equal((await api('GET', `/userve/v1.3/cloud-function/${name}/`)).status, 404);
      assert.equal((await api('DELETE', '/userve/v1.3/cloud-function/come_from_open_API_v1.3/')).status, 204);
    });
  });

  describe('one engine', () => {
    const token = () => ({ 'x-auth-token': running.token });

    before(async () => {
      const answer = await fetch(running.endpoint + '/v3/auth/tokens', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ auth: { identity: { methods: ['password'], password: { user: {
          name: running.admin.user, password: running.admin.password, domain: { name: running.admin.domain } } } },
        scope: { project: { id: running.admin.project_id } } } }),
      });
      running.token = answer.headers.get('x-subject-token');
    });

    async function fgs(method, target, body) {
      const answer = await fetch(`${running.endpoint}/v2/${running.admin.project_id}/fgs/functions${target}`, {
        method, headers: { 'content-type': 'application/json', ...token() }, body: JSON.stringify(body),
      });
      return { status: answer.status, body: JSON.parse((await answer.text()) || 'null') };
    }

    it('shows and runs a function of this face through the other', async () => {
      const { body } = await fgs('GET', '');
      assert.ok(body.functions.some((f) => f.func_name === 'hello'));
      const called = await fgs('POST', '/hello/invocations', { name: 'fgs' });
      assert.equal(called.status, 200);
      assert.equal(called.body.greeting, 'hello fgs');
      assert.equal(called.body.type, 'open_api');
    });

    it('shows and runs a function of the other face through this', async () => {
      const { runtime } = (await fgs('GET', '')).body.functions.find((f) => f.func_name === 'hello');
      const made = await fgs('POST', '', {
        func_name: 'other', package: 'default', handler: 'index.handler', memory_size: 256, timeout: 3, runtime,
        code_type: 'inline', func_code: { file: Buffer.from('exports.handler = async (event) => ({ got: event })').toString('base64') },
      });
      assert.equal(made.status, 200, JSON.stringify(made.body));
      const shown = await api('GET', '/oserve/v1.3/cloud-function/other/');
      assert.equal(shown.body.plan_circle, 'P_PERSONAL');
      const called = await api('POST', '/oserve/v1.3/cloud-function/other/job/', { data: { a: 1 } });
      assert.deepEqual(called.body, { code: 0, data: { got: { a: 1 } }, error: {} });
    });
  });

  describe('OAuth', () => {
    async function form(target, body) {
      const answer = await fetch(running.endpoint + target, { method: 'POST', body });
      return { status: answer.status, body: await answer.json() };
    }

    it('exchanges a code once, and ends tokens with a refresh', async () => {
      const { client_id, client_secret } = running.admin.minapp;
      const { body: { code } } = await form('/api/oauth2/hydrogen/openapi/authorize/', JSON.stringify({ client_id, client_secret }));
      const exchange = { client_id, client_secret, code, grant_type: 'authorization_code' };
      const first = await form('/api/oauth2/access_token/', new URLSearchParams(exchange));
      assert.equal(first.status, 200);
      assert.equal((await form('/api/oauth2/access_token/', new URLSearchParams(exchange))).status, 401);
      const refresh = new FormData();
      for (const [k, v] of Object.entries({ client_id, client_secret, grant_type: 'refresh_token', refresh_token: first.body.refresh_token })) refresh.set(k, v);
      const second = await form('/api/oauth2/access_token/', refresh);
      assert.equal(second.status, 200);
      const list = (t) => api('GET', '/oserve/v1.3/cloud-function/', undefined, { authorization: 'Bearer ' + t });
      assert.equal((await list(first.body.access_token)).status, 401);
      assert.equal((await list(second.body.access_token)).status, 200);
      assert.equal((await list(second.body.refresh_token)).status, 401);
    });
  });
});
