# The floor's worker: one frame in, one frame out, over file descriptor 3. A frame is a length of four bytes, big-endian,
# and that much JSON.
import json
import os


def frame():
    data = os.read(3, 1 << 16)
    while data and (len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big")):
        more = os.read(3, 1 << 20)
        data = data + more if more else b""
    return data[4:]


def handler(event):
    return event


body = frame()
while body:
    answer = json.dumps(handler(json.loads(body))).encode()
    os.write(3, len(answer).to_bytes(4, "big") + answer)
    body = frame()
