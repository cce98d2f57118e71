package hanshu;

import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;

/** The frames of the worker protocol (internal/lang/protocol.go) over the inherited socket. */
final class Channel {
    static final int READY = 1;
    static final int LOAD = 2;
    static final int LOADED = 3;
    static final int CALL = 4;
    static final int RESULT = 5;
    static final int FAILED = 6;
    static final int BEAT = 7;
    static final int BEATEN = 8;
    static final int STOP = 9;
    static final int STOPPED = 10;

    private static final int HEAD = 12;
    private final FileInputStream in;
    private final FileOutputStream out;
    private final byte[] buffer = new byte[16 << 10]; // one read takes a whole small frame
    private int from;
    private int to;

    /** One message: its number, and the bytes of meta and body. */
    static final class Frame {
        int kind;
        int seq;
        byte[] meta;
        byte[] body;
    }

    private Channel(FileDescriptor socket) {
        in = new FileInputStream(socket);
        out = new FileOutputStream(socket);
    }

    /** Takes an inherited descriptor. Children of a Java program inherit none but their standard streams. */
    static Channel open(int number) throws ReflectiveOperationException {
        FileDescriptor socket = new FileDescriptor();
        Field field = FileDescriptor.class.getDeclaredField("fd");
        field.setAccessible(true);
        field.setInt(socket, number);
        return new Channel(socket);
    }

    /** Waits for a frame; null at the end of the stream. */
    Frame receive() throws IOException {
        ByteBuffer head = ByteBuffer.wrap(read(HEAD, true));
        if (head.limit() == 0) {
            return null;
        }
        Frame frame = new Frame();
        int size = head.getInt();
        frame.kind = head.get();
        head.get();
        int meta = head.getShort() & 0xffff;
        frame.seq = head.getInt();
        frame.meta = read(meta, false);
        frame.body = read(size - meta, false);
        return frame;
    }

    private byte[] read(int count, boolean mayEnd) throws IOException {
        byte[] all = new byte[count];
        int have = 0;
        while (have < count) {
            if (from < to) {
                int n = Math.min(to - from, count - have);
                System.arraycopy(buffer, from, all, have, n);
                from += n;
                have += n;
                continue;
            }
            int n;
            if (count - have >= buffer.length) {
                n = in.read(all, have, count - have);
                have += Math.max(0, n);
            } else {
                n = in.read(buffer, 0, buffer.length);
                from = 0;
                to = Math.max(0, n);
            }
            if (n < 0 && have == 0 && mayEnd) {
                return new byte[0];
            }
            if (n < 0) {
                throw new EOFException();
            }
        }
        return all;
    }

    synchronized void send(int kind, int seq, byte[] meta, byte[] body) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(HEAD + meta.length + body.length);
        frame.putInt(meta.length + body.length).put((byte) kind).put((byte) 0).putShort((short) meta.length).putInt(seq);
        frame.put(meta).put(body);
        out.write(frame.array());
    }
}
