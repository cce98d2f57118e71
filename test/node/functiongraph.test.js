'use strict';
// Drives a real server with the unmodified Node SDK over plain HTTP on loopback, signed with an access key.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { before, after, describe, it } = require('node:test');

// The SDK keeps a file in the home directory; tests leave the user's own alone.
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'hanshu-home-'));
process.env.HOME = home;

const { BasicCredentials, Region } = require('@huaweicloud/huaweicloud-sdk-core');
const { v2 } = require('@huaweicloud/huaweicloud-sdk-functiongraph');
const server = require('./server');

// The SDK prints every refused request at length, its headers included; here refusals are expected.
require('log4js').configure({ appenders: { out: { type: 'stdout' } }, categories: { default: { appenders: ['out'], level: 'off' } } });

const missing = fs.existsSync(server.binary) ? false : `no program to test at ${server.binary}; run \`make build\``;
if (missing && process.env.HANSHU_TEST_NO_SKIP === '1') {
  throw new Error(missing);
}

const json = 'application/json';
const base64 = (text) => Buffer.from(text).toString('base64');

const echo = `exports.handler = async (event, context) => {
  console.log('printed', event.n);
  return { event, name: context.getFunctionName(), mode: context.getUserData('mode') };
};
`;
const pythonEcho = `def handler(event, context):
    print("printed", event["n"])
    return {"event": event, "name": context.getFunctionName(), "mode": context.getUserData("mode")}
`;

describe('the Node SDK', { skip: missing }, () => {
  let running;
  let client;

  before(async () => {
    running = await server.start();
    client = newClient(running.admin.access_key, running.admin.secret_key);
  });
  after(async () => {
    if (running) {
      await running.stop();
    }
    fs.rmSync(home, { recursive: true, force: true });
  });

  function newClient(ak, sk) {
    const credentials = new BasicCredentials().withAk(ak).withSk(sk).withProjectId(running.admin.project_id);
    return v2.FunctionGraphClient.newBuilder().withCredential(credentials).withEndpoint(running.endpoint).build();
  }

  function show(urn) {
    return client.showFunctionConfig(new v2.ShowFunctionConfigRequest().withFunctionUrn(urn).withContentType(json));
  }

  function invoke(urn, event) {
    return client.invokeFunction(new v2.InvokeFunctionRequest().withFunctionUrn(urn).withContentType(json)
      .withXCffLogType('tail').withXCFFRequestVersion('v1').withBody(event));
  }

  // refused holds a call to be answered with a status and a code, as the SDK decodes them.
  async function refused(call, status, code) {
    await assert.rejects(call, (err) => {
      assert.equal(err.httpStatusCode, status, String(err));
      assert.equal(err.errorCode, code);
      assert.ok(err.errorMsg);
      return true;
    });
  }

  const functions = [
    { name: 'node_life', runtime: () => server.runtime('Node.js', 'Node.js20.15'), source: echo, second: "exports.handler = async () => 'second';\n" },
    { name: 'python_life', runtime: () => server.runtime('Python3', 'Python3.9'), source: pythonEcho, second: "def handler(event, context):\n    return 'second'\n" },
  ];
  for (const f of functions) {
    it(`${f.name}: creates, invokes, updates, reads back, deletes`, async () => {
      const runtime = f.runtime();
      const made = await client.createFunction(new v2.CreateFunctionRequest().withContentType(json).withBody(
        new v2.CreateFunctionRequestBody().withFuncName(f.name).withPackage('default').withRuntime(runtime).withTimeout(10)
          .withHandler('index.handler').withMemorySize(128).withCodeType('inline').withUserData('{"mode":"first"}')
          .withDescription('made by the Node SDK').withFuncCode(new v2.FuncCode().withFile(base64(f.source)))));
      assert.equal(made.httpStatusCode, 200);
      assert.equal(made.func_urn, `urn:fss:${running.admin.region}:${running.admin.project_id}:function:default:${f.name}:latest`);
      assert.equal(made.cpu, 300);
      assert.equal(made.code_size, f.source.length);
      assert.equal(made.digest, crypto.createHash('sha512').update(f.source).digest('hex'));
      const urn = made.func_urn.replace(/:latest$/, '');

      const first = await invoke(urn, { n: 1 });
      assert.equal(first.status, 200);
      assert.deepEqual(JSON.parse(first.result), { event: { n: 1 }, name: f.name, mode: 'first' });
      assert.match(first.log, /printed 1/);
      assert.ok(first.request_id);

      await client.updateFunctionConfig(new v2.UpdateFunctionConfigRequest().withFunctionUrn(urn).withContentType(json).withBody(
        new v2.UpdateFunctionConfigRequestBody().withFuncName(f.name).withRuntime(runtime).withTimeout(20).withHandler('index.handler')
          .withMemorySize(256).withUserData('{"mode":"second"}').withDescription('')));
      const config = await show(urn);
      assert.equal(config.timeout, 20);
      assert.equal(config.memory_size, 256);
      assert.equal(config.user_data, '{"mode":"second"}');
      assert.ok(!config.description);
      assert.equal(config.runtime, runtime);
      assert.equal(JSON.parse((await invoke(urn, { n: 2 })).result).mode, 'second');

      await client.updateFunctionCode(new v2.UpdateFunctionCodeRequest().withFunctionUrn(urn).withContentType(json).withBody(
        new v2.UpdateFunctionCodeRequestBody().withCodeType('inline').withFuncCode(new v2.FuncCode().withFile(base64(f.second)))));
      const code = await client.showFunctionCode(new v2.ShowFunctionCodeRequest().withFunctionUrn(urn).withContentType(json));
      assert.equal(code.func_code.file, base64(f.second));
      assert.equal((await invoke(urn, {})).result, '"second"');

      const list = await client.listFunctions(new v2.ListFunctionsRequest().withContentType(json).withFuncName(f.name));
      assert.deepEqual(list.functions.map((x) => x.func_name), [f.name]);

      const gone = await client.deleteFunction(new v2.DeleteFunctionRequest().withFunctionUrn(urn).withContentType(json));
      assert.equal(gone.httpStatusCode, 204);
      await refused(show(urn), 404, 'FSS.1051');
    });
  }

  // echoZip is a zip with one file, index.py, whose handler gives the event back.
  const echoZip = 'UEsDBBQAAAAAAACAw1C0CHBpLgAAAC4AAAAIAAAAaW5kZXgucHlkZWYgaGFuZGxlcihldmVudCwgY29udGV4dCk6CiAgICByZXR1cm4gZXZlbnQKUEsBAhQDFAAAAAAAAIDDULQIcGkuAAAALgAAAAgAAAAAAAAAAAAAAKQBAAAAAGluZGV4LnB5UEsFBgAAAAABAAEANgAAAFQAAAAAAA==';

  it('keeps a dependency, uses it, exports and imports its function', async () => {
    const made = await client.createDependencyVersion(new v2.CreateDependencyVersionRequest().withContentType(json).withBody(
      new v2.CreateDependencyRequestBody().withName('echo').withRuntime('Python3.9').withDependType('zip').withDependFile(echoZip)));
    assert.equal(made.httpStatusCode, 200);
    assert.equal(made.version, 1);
    const list = await client.listDependencies(new v2.ListDependenciesRequest().withContentType(json).withName('echo'));
    assert.deepEqual(list.dependencies.map((d) => [d.id, d.name, d.version]), [[made.dep_id, 'echo', 1]]);
    const versions = await client.listDependencyVersion(new v2.ListDependencyVersionRequest().withContentType(json).withDependId(made.dep_id));
    assert.deepEqual(versions.dependencies.map((d) => d.id), [made.id]);
    const shown = await client.showDependencyVersion(new v2.ShowDependencyVersionRequest().withContentType(json).withDependId(made.dep_id).withVersion('1'));
    assert.equal(shown.etag, made.etag);

    const runtime = server.runtime('Python3', 'Python3.9');
    const created = await client.createFunction(new v2.CreateFunctionRequest().withContentType(json).withBody(
      new v2.CreateFunctionRequestBody().withFuncName('uses').withPackage('default').withRuntime(runtime).withTimeout(10).withHandler('index.handler')
        .withMemorySize(128).withCodeType('inline').withFuncCode(new v2.FuncCode().withFile(base64('def handler(event, context):\n    return "own"\n')))
        .withDependVersionList([made.id])));
    assert.deepEqual(created.depend_version_list, [made.id]);
    const urn = created.func_urn.replace(/:latest$/, '');
    assert.equal((await invoke(urn, { n: 1 })).result, '{"n":1}', 'a file of a dependency stands before the function\'s own');

    const remove = () => client.deleteDependencyVersion(new v2.DeleteDependencyVersionRequest().withContentType(json).withDependId(made.dep_id).withVersion('1'));
    await refused(remove(), 412, 'FSS.1033');
    const exported = await client.exportFunction(new v2.ExportFunctionRequest().withFunctionUrn(urn).withContentType(json).withCode(true).withConfig(true));
    assert.equal(exported.httpStatusCode, 200);
    await client.deleteFunction(new v2.DeleteFunctionRequest().withFunctionUrn(urn).withContentType(json));
    const imported = await client.importFunction(new v2.ImportFunctionRequest().withContentType(json).withBody(
      new v2.ImportFunctionRequestBody().withFuncName('uses').withFileName(exported.file_name).withFileType(exported.file_type).withFileCode(exported.file_code)));
    assert.equal(imported.digest, created.digest);
    assert.equal((await invoke(urn, { n: 2 })).result, '{"n":2}');
    await client.deleteFunction(new v2.DeleteFunctionRequest().withFunctionUrn(urn).withContentType(json));
    assert.equal((await remove()).httpStatusCode, 204);
  });

  it('finds its project by the region through IAM', async () => {
    const credentials = new BasicCredentials().withAk(running.admin.access_key).withSk(running.admin.secret_key).withIamEndpoint(running.endpoint);
    const found = v2.FunctionGraphClient.newBuilder().withCredential(credentials)
      .withRegion(new Region(running.admin.region, running.endpoint)).build();
    const list = await found.listFunctions(new v2.ListFunctionsRequest().withContentType(json));
    assert.equal(list.count, 0);
  });

  it('is refused with a wrong secret and with an unknown key', async () => {
    const list = (c) => c.listFunctions(new v2.ListFunctionsRequest().withContentType(json));
    await refused(list(newClient(running.admin.access_key, 'wrong')), 401, 'APIGW.0301');
    await refused(list(newClient('ABCDEFGHIJKLMNOPQRST', running.admin.secret_key)), 401, 'APIGW.0301');
    await list(client);
  });
});
