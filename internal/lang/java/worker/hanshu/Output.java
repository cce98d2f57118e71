package hanshu;

import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UnsupportedEncodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** Standard output and error, which are one pipe. The function may close or replace its streams; what is logged still arrives. */
final class Output extends OutputStream {
    private static final int LONG = 64 << 10; // a line without an end is written when it has so many bytes

    private final FileOutputStream pipe = new FileOutputStream(FileDescriptor.out);
    private final byte[] buffer = new byte[8192];
    private int have;
    // Where calls run side by side, whole lines go out at once, each with the number of its call. It is known in the thread of the call alone.
    private volatile boolean divided;
    private final ThreadLocal<Integer> call = ThreadLocal.withInitial(() -> 0);
    private final Map<Integer, ByteArrayOutputStream> open = new HashMap<>(); // call -> text without a line end so far

    /** Takes the place of the streams of System. */
    static Output take() {
        Output output = new Output();
        try {
            System.setOut(new PrintStream(output, true, "UTF-8"));
            System.setErr(new PrintStream(output, true, "UTF-8"));
        } catch (UnsupportedEncodingException e) {
            throw new AssertionError(e); // every Java has it
        }
        return output;
    }

    /** Lets the lines of calls that run side by side be told apart. */
    void divide() {
        flush();
        divided = true;
    }

    /** Says whose lines this thread prints from now on; 0 for nobody's. */
    void enter(int seq) {
        call.set(seq);
    }

    /** What stands before a line of the call that this thread runs. */
    private String mark(char level) {
        int seq = divided ? call.get() : 0;
        return "\u001e" + level + (seq == 0 ? "" : "\u001d" + Integer.toUnsignedString(seq) + "\u001d");
    }

    void log(char level, String text) {
        byte[] line = (mark(level) + text.replace('\n', '\u001f') + "\n").getBytes(StandardCharsets.UTF_8);
        if (divided) {
            put(line);
            return;
        }
        write(line, 0, line.length);
        flush();
    }

    private synchronized void put(byte[] whole) {
        send(whole, 0, whole.length);
    }

    /** Writes the lines that have come to their end, and keeps the rest for the call. The lock is held. */
    private void split(byte[] b, int from, int count) {
        ByteArrayOutputStream rest = open.computeIfAbsent(call.get(), seq -> new ByteArrayOutputStream());
        for (int i = from; i < from + count; i++) {
            if (b[i] == '\n' || rest.size() >= LONG) {
                finish(rest);
            }
            if (b[i] != '\n') {
                rest.write(b[i]);
            }
        }
        if (rest.size() == 0) {
            open.remove(call.get());
        }
    }

    private void finish(ByteArrayOutputStream line) {
        byte[] mark = mark('I').getBytes(StandardCharsets.UTF_8);
        byte[] text = line.toByteArray();
        byte[] all = Arrays.copyOf(mark, mark.length + text.length + 1);
        System.arraycopy(text, 0, all, mark.length, text.length);
        all[all.length - 1] = '\n';
        send(all, 0, all.length);
        line.reset();
    }

    @Override
    public void write(int b) {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public synchronized void write(byte[] b, int from, int count) {
        if (divided) {
            split(b, from, count);
            return;
        }
        if (count > buffer.length - have) {
            flush();
        }
        if (count > buffer.length) {
            send(b, from, count);
            return;
        }
        System.arraycopy(b, from, buffer, have, count);
        have += count;
    }

    @Override
    public synchronized void flush() {
        if (divided) {
            return; // whole lines are out
        }
        send(buffer, 0, have);
        have = 0;
    }

    /** Writes what the call of this thread has printed last, also without a line end. */
    synchronized void end() {
        flush();
        ByteArrayOutputStream rest = divided ? open.remove(call.get()) : null;
        if (rest != null && rest.size() > 0) {
            finish(rest);
        }
    }

    private void send(byte[] b, int from, int count) {
        try {
            pipe.write(b, from, count);
        } catch (IOException e) {
            return; // nobody reads it any more
        }
    }

    @Override
    public void close() {
        flush();
    }
}
