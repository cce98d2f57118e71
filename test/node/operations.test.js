'use strict';
// A second opinion on thirty operations and more: the unmodified Node SDK takes a function, its calls, events, tags, triggers and
// instances through their lives.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { before, after, describe, it } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');

// The SDK keeps a file in the home directory; tests leave the user's own alone.
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'hanshu-home-'));
process.env.HOME = home;

const { BasicCredentials } = require('@huaweicloud/huaweicloud-sdk-core');
const { v2 } = require('@huaweicloud/huaweicloud-sdk-functiongraph');
const server = require('./server');

require('log4js').configure({ appenders: { out: { type: 'stdout' } }, categories: { default: { appenders: ['out'], level: 'off' } } });

const missing = fs.existsSync(server.binary) ? false : `no program to test at ${server.binary}; run \`make build\``;
if (missing && process.env.HANSHU_TEST_NO_SKIP === '1') {
  throw new Error(missing);
}

const base64 = (text) => Buffer.from(text).toString('base64');
const upper = (name) => name[0].toUpperCase() + name.slice(1);

// make builds one of the SDK's models, field by field through its own setters.
function make(type, fields) {
  const model = new v2[type]();
  for (const [name, value] of Object.entries(fields)) {
    model[`with${upper(name)}`](value);
  }
  return model;
}

const source = `def handler(event, context):
    return {"n": event.get("n"), "mode": context.getUserData("mode")}
`;

describe('the Node SDK, operation by operation', { skip: missing }, () => {
  let running;
  let client;
  let urn;
  const called = new Set();

  before(async () => {
    running = await server.start();
    const credentials = new BasicCredentials().withAk(running.admin.access_key).withSk(running.admin.secret_key).withProjectId(running.admin.project_id);
    client = v2.FunctionGraphClient.newBuilder().withCredential(credentials).withEndpoint(running.endpoint).build();
    urn = `urn:fss:${running.admin.region}:${running.admin.project_id}:function:default:second`;
  });
  after(async () => {
    if (running) {
      await running.stop();
    }
    fs.rmSync(home, { recursive: true, force: true });
  });

  // call runs an operation with the fields of its request.
  function call(operation, fields = {}) {
    called.add(operation);
    return client[operation](make(`${upper(operation)}Request`, { contentType: 'application/json', ...fields }));
  }

  async function refused(answer, status, code) {
    await assert.rejects(answer, (err) => {
      assert.equal(err.httpStatusCode, status, String(err));
      assert.equal(err.errorCode, code);
      return true;
    });
  }

  // eventually waits until look gives something.
  async function eventually(look) {
    for (let i = 0; i < 1200; i += 1) {
      const found = await look();
      if (found) {
        return found;
      }
      await delay(50);
    }
    throw new Error('it did not come about');
  }

  it('functions', async () => {
    const made = await call('createFunction', { body: make('CreateFunctionRequestBody', {
      funcName: 'second', package: 'default', runtime: server.runtime('Python3', 'Python3.9'), timeout: 10, handler: 'index.handler', memorySize: 128,
      codeType: 'inline', userData: '{"mode":"a"}', tags: '{"team":"edge"}', funcCode: make('FuncCode', { file: base64(source) }),
    }) });
    assert.equal(made.func_urn, `${urn}:latest`);
    assert.equal((await call('listFunctions', { funcName: 'second' })).count, 1);
    assert.equal((await call('showFunctionConfig', { functionUrn: urn })).user_data, '{"mode":"a"}');
    assert.equal((await call('showFunctionCode', { functionUrn: urn })).func_code.file, base64(source));
    const result = await call('invokeFunction', { functionUrn: urn, xCFFRequestVersion: 'v1', body: { n: 1 } });
    assert.deepEqual(JSON.parse(result.result), { n: 1, mode: 'a' });
    const limit = await call('updateFunctionMaxInstanceConfig', { functionUrn: urn, body: make('UpdateFunctionMaxInstanceConfigRequestBody', { maxInstanceNum: 7 }) });
    assert.equal(limit.strategy_config.concurrency, 7);
    assert.equal((await call('updateFunctionCollectState', { funcUrn: urn, state: 'true' })).httpStatusCode, 200);
    const quotas = await call('listQuotas');
    assert.equal(quotas.quotas.resources.find((q) => q.type === 'fgs_func_num').used, 1);
  });

  it('asynchronous calls', async () => {
    const set = await call('updateFunctionAsyncInvokeConfig', { functionUrn: urn, body: make('UpdateFunctionAsyncInvokeConfigRequestBody', {
      maxAsyncEventAgeInSeconds: 60, maxAsyncRetryAttempts: 2,
    }) });
    assert.equal(set.max_async_retry_attempts, 2);
    assert.equal((await call('showFunctionAsyncInvokeConfig', { functionUrn: urn })).max_async_event_age_in_seconds, 60);
    assert.equal((await call('listFunctionAsyncInvokeConfig', { functionUrn: urn })).count, 1);
    const accepted = await call('asyncInvokeFunction', { functionUrn: urn, body: { n: 2 } });
    assert.equal(accepted.httpStatusCode, 202);
    await eventually(async () => {
      const list = await call('listAsyncInvocations', { functionUrn: urn, requestId: accepted.request_id });
      return list.invocations[0].status === 'SUCCESS';
    });
    assert.deepEqual((await call('listActiveAsyncInvocations', { functionUrn: urn })).invocations, []);
    assert.equal((await call('deleteFunctionAsyncInvokeConfig', { functionUrn: urn })).httpStatusCode, 204);
    await refused(call('showFunctionAsyncInvokeConfig', { functionUrn: urn }), 404, 'FSS.0404');
  });

  it('triggers', async () => {
    const made = await call('createFunctionTrigger', { functionUrn: urn, body: make('CreateFunctionTriggerRequestBody', {
      triggerTypeCode: 'TIMER', triggerStatus: 'ACTIVE',
      eventData: make('TriggerEventDataRequestBody', { name: 'tick', scheduleType: 'Rate', schedule: '3m' }),
    }) });
    assert.equal(made.httpStatusCode, 201);
    const one = { functionUrn: urn, triggerTypeCode: 'TIMER', triggerId: made.trigger_id };
    assert.equal((await call('showFunctionTrigger', one)).event_data.schedule, '3m');
    const changed = await call('updateTrigger', { ...one, body: make('UpdateTriggerRequestBody', { triggerStatus: 'DISABLED' }) });
    assert.equal(changed.trigger_status, 'DISABLED');
    await call('listFunctionTriggers', { functionUrn: urn });
    assert.equal((await call('deleteFunctionTrigger', one)).httpStatusCode, 204);
    assert.equal((await call('batchDeleteFunctionTriggers', { functionUrn: urn })).httpStatusCode, 204);
    await refused(call('showFunctionTrigger', one), 404, 'FSS.1140');
  });

  it('test events and tags', async () => {
    const made = await call('createEvent', { functionUrn: urn, body: make('CreateEventRequestBody', { name: 'try-1', content: base64('{"n":3}') }) });
    const one = { functionUrn: urn, eventId: made.id };
    assert.equal((await call('showEvent', one)).content, base64('{"n":3}'));
    await call('updateEvent', { ...one, body: make('UpdateEventRequestBody', { content: base64('{"n":4}') }) });
    assert.deepEqual((await call('listEvents', { functionUrn: urn })).events.map((e) => e.name), ['try-1']);
    assert.equal((await call('deleteEvent', one)).httpStatusCode, 204);

    const functions = { resourceType: 'functions', resourceId: `${urn}:latest` };
    const stage = make('KvItem', { key: 'stage', value: 'prod' });
    const answer = await call('createTags', { ...functions, body: make('UpdateFunctionTagsRequestBody', { action: 'create', tags: [stage] }) });
    assert.equal(answer.httpStatusCode, 204);
    assert.deepEqual((await call('listFunctionTags', functions)).tags.map((t) => `${t.key}=${t.value}`), ['stage=prod', 'team=edge']);
    assert.deepEqual((await call('showProjectTagsList', { resourceType: 'functions' })).tags.map((t) => t.key), ['stage', 'team']);
    const found = await call('showResInstanceInfo', { resourceType: 'functions', action: 'filter', body: make('ListEnterpriseResourceRequestBody', { matches: [stage] }) });
    assert.equal(found.total_count, 1);
    await call('deleteTags', { ...functions, body: make('UpdateFunctionTagsRequestBody', { action: 'delete', tags: [stage] }) });
    assert.equal((await call('listFunctionTags', functions)).tags.length, 1);
  });

  it('instances', async () => {
    const tactics = make('TacticsConfig', { cronConfigs: [make('CronConfig', { name: 'always', cron: '* * * * * *', count: 1 })] });
    await call('updateFunctionReservedInstancesCount', { functionUrn: urn, body: make('UpdateFunctionReservedInstancesCountRequestBody', { count: 0, tacticsConfig: tactics }) });
    assert.equal((await call('listReservedInstanceConfigs', { functionUrn: urn })).reserved_instances[0].tactics_config.cron_configs[0].name, 'always');
    await eventually(async () => (await call('showFuncReservedInstanceMetrics', { funcUrn: urn })).reservedInstanceNum[0].value === 1);
    assert.equal((await call('listFunctionReservedInstances')).reservedinstances[0].count, 1);
    assert.equal((await call('updateFuncSnapshot', { functionUrn: urn, action: 'enable' })).httpStatusCode, 204);
    await eventually(async () => (await call('showFuncSnapshotState', { functionUrn: urn, action: 'state' })).code === 'ready');
  });

  it('statistics, templates, refusals', async () => {
    const series = await call('listFunctionStatistics', { funcUrn: urn, period: '5' });
    assert.ok(series.count.some((point) => point.value > 0));
    assert.ok((await call('showLtsLogDetails', { functionUrn: urn })).stream_name);
    assert.ok((await call('listFunctionTemplate', {})).func_templates.length > 5);
    assert.equal((await call('showFunctionTemplate', { templateId: 'node-hello' })).handler, 'index.handler');
    const app = await call('createFunctionApp', { body: make('CreateFunctionAppRequestBody', { name: 'greeter', templateId: 'node-hello' }) });
    assert.equal((await call('showFunctionApp', { id: app.application_id })).status, 'success');
    await call('deleteFunctionApp', { id: app.application_id });
    await refused(call('showTracing', { functionUrn: urn }), 400, 'FSS.0400');
  });

  it('ends with nothing left', async () => {
    assert.equal((await call('deleteFunction', { functionUrn: urn })).httpStatusCode, 204);
    assert.equal((await call('listFunctions')).count, 0);
    assert.ok(called.size >= 30, `${called.size} operations`);
  });
});
