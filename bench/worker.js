// The floor's worker: one frame in, one frame out, over file descriptor 3. A frame is a length of four bytes, big-endian,
// and that much JSON.
const fs = require('fs');

let buffer = Buffer.allocUnsafe(1 << 16);

function frame() {
  let have = 0;
  do {
    const got = fs.readSync(3, buffer, have, buffer.length - have, null);
    if (got === 0) process.exit(0);
    have += got;
    if (have >= 4 && buffer.length < 4 + buffer.readUInt32BE(0)) {
      buffer = Buffer.concat([buffer.subarray(0, have)], 4 + buffer.readUInt32BE(0));
    }
  } while (have < 4 || have < 4 + buffer.readUInt32BE(0));
  return buffer.toString('utf8', 4, have);
}

const handler = (event) => event;

for (;;) {
  const text = JSON.stringify(handler(JSON.parse(frame())));
  const answer = Buffer.allocUnsafe(4 + Buffer.byteLength(text));
  answer.writeUInt32BE(answer.length - 4, 0);
  answer.write(text, 4);
  for (let sent = 0; sent < answer.length; ) sent += fs.writeSync(3, answer, sent);
}
