// What a hostile function may try. The event names it: {"do": "fork"}.
'use strict';

const fs = require('fs');
const { spawn } = require('child_process');

const forever = () => new Promise(() => setInterval(() => {}, 1000));

const tricks = {
  echo: (n) => ({ n }),
  fork: () => {
    for (let i = 0; i < 4; i++) spawn('/bin/sh', ['-c', 'f() { f | f & }; f'], { stdio: 'ignore' }).on('error', () => {});
    return forever();
  },
  eat: () => {
    const held = [];
    for (;;) held.push(Buffer.alloc(4 << 20, 1));
  },
  eat_heap: () => {
    const held = [];
    for (;;) held.push(new Array(10000).fill(held.length));
  },
  fill: () => {
    const fd = fs.openSync('/tmp/full', 'w');
    for (;;) fs.writeSync(fd, Buffer.alloc(1 << 20));
  },
  sleep: forever,
  spin: () => { for (;;); },
  close: () => {
    for (let fd = 0; fd < 2048; fd++) try { fs.closeSync(fd); } catch (e) { /* not open */ }
    return 'closed';
  },
  exit: () => process.exit(3),
  abort: () => process.abort(),
  lines: () => {
    const block = 'x'.repeat(1023).concat('\n').repeat(1024);
    for (let i = 0; i < 1024; i++) process.stdout.write(block);
    return 'printed';
  },
  line: () => {
    const block = Buffer.alloc(1 << 20, 'x');
    for (let i = 0; i < 1024; i++) process.stdout.write(block);
    return 'printed';
  },
  flood: () => {
    const junk = Buffer.alloc(1 << 16, 0xaa);
    for (;;) fs.writeSync(3, junk);
  },
  big: () => 'x'.repeat(7 << 20),
  daemon: (n) => {
    spawn('/bin/sh', ['-c', 'while :; do :; done'], { detached: true, stdio: 'ignore' }).unref();
    return { n };
  },
  kill_self: (n) => {
    process.kill(process.pid, 'SIGKILL');
    process.kill(process.pid, 'SIGSTOP');
    return { n };
  },
  throw_later: () => {
    setTimeout(() => { throw new TypeError('later'); }, 10);
    return forever();
  },
};

exports.handler = async (event) => tricks[event.do](event.n);
