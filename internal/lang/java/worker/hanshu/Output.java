package hanshu;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UnsupportedEncodingException;
import java.nio.charset.StandardCharsets;

/** Standard output and error, which are one pipe. The function may close or replace its streams; what is logged still arrives. */
final class Output extends OutputStream {
    private final FileOutputStream pipe = new FileOutputStream(FileDescriptor.out);
    private final byte[] buffer = new byte[8192];
    private int have;

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

    void log(char level, String text) {
        byte[] line = ("\u001e" + level + text.replace('\n', '\u001f') + "\n").getBytes(StandardCharsets.UTF_8);
        write(line, 0, line.length);
        flush();
    }

    @Override
    public void write(int b) {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public synchronized void write(byte[] b, int from, int count) {
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
        send(buffer, 0, have);
        have = 0;
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
