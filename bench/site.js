#!/usr/bin/env node
// A web server that answers what it was sent: the function, on port 8000, and its floor, on a port that it prints.
const server = require('http').createServer((req, res) => {
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => {
    res.setHeader('Content-Type', 'application/json');
    res.end(Buffer.concat(parts));
  });
});

const floor = process.argv[2] === 'floor';
server.listen(floor ? 0 : 8000, '127.0.0.1', () => {
  if (floor) console.log('127.0.0.1:' + server.address().port);
});
