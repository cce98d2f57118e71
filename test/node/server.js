'use strict';
// Starts the real hanshu program for the tests of this folder, and stops it again. It knows the fixed interfaces only: flags,
// /healthz, admin.json.

const { spawn, execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');

const patience = 60_000; // milliseconds; a start takes a fraction of a second, this is for a machine under load

const binary = process.env.HANSHU_BIN || path.join(__dirname, '..', '..', 'bin', 'hanshu');

async function freePort() {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}

async function ready(url) {
  try {
    const answer = await fetch(url);
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch {
    return false;
  }
}

// start gives { admin, endpoint, stop, output } of a running server with a data directory of its own.
async function start() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hanshu-node-'));
  const dataDir = path.join(dir, 'data');
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(binary, ['serve', '--listen', address, '--data-dir', dataDir]);
  const exited = once(child, 'exit');
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => { printed += chunk; });
  }
  const stop = async () => {
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), patience);
    await exited;
    clearTimeout(killer);
    fs.rmSync(dir, { recursive: true, force: true });
  };
  // An answer of 200 is what readiness means, so there is nothing to wait for but that answer.
  const end = Date.now() + patience;
  while (!(await ready(`http://${address}/healthz`))) {
    if (child.exitCode !== null || Date.now() > end) {
      await stop();
      throw new Error(`the server did not become ready:\n${printed}`);
    }
    await delay(20);
  }
  const admin = JSON.parse(fs.readFileSync(path.join(dataDir, 'admin.json'), 'utf8'));
  return { admin, endpoint: `http://${address}`, stop, output: () => printed };
}

// runtime gives a runtime name that the program serves on this host: preferred when it does, else the last one listed whose
// name begins with prefix. Where the program cannot tell, it is preferred.
function runtime(prefix, preferred) {
  let list;
  try {
    list = JSON.parse(execFileSync(binary, ['runtimes', '--json'], { encoding: 'utf8' }));
  } catch {
    return preferred;
  }
  const served = list.filter((r) => r.name.startsWith(prefix) && r.status !== 'missing').map((r) => r.name);
  return served.length === 0 || served.includes(preferred) ? preferred : served.at(-1);
}

module.exports = { binary, start, runtime };
