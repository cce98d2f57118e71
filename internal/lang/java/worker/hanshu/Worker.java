package hanshu;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs a Java function for hanshu: waits for calls on a socket, hands them to the handler, sends back what it returns.
 *
 * The protocol is described in internal/lang/protocol.go, the contract of handlers in FunctionGraph reference 5.2. Java 8 or
 * newer, no library.
 */
public final class Worker {
    private static final char FAIL_LOAD = 'l';
    private static final char FAIL_INIT = 'i';
    private static final char FAIL_EXCEPTION = 'x';
    private static final char FAIL_LAST = 'e';
    private static final char FAIL_RESULT = 'r';
    private static final char FAIL_TOO_LARGE = 't';
    private static final byte[] NOTHING = {};

    private final Channel channel;
    private final Output output;
    private final Logger logger;
    private final RandomAccessFile status;
    private Load load;
    private Handler handler;
    private Handler beat; // null for none
    private Handler stop; // null for none

    private Worker(Channel channel) {
        this.channel = channel;
        output = Output.take();
        logger = new Logger(output);
        RandomAccessFile file = null;
        try {
            file = new RandomAccessFile("/proc/self/status", "r");
        } catch (IOException e) {
            // no /proc here: the peak is told as 0
        }
        status = file;
    }

    public static void main(String[] arguments) throws Throwable {
        Worker worker = new Worker(Channel.open(3));
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> worker.logger.error(
                "uncaught in thread " + thread.getName() + ": " + String.join("\n", Failure.stack(error))));
        if (arguments.length > 0) {
            worker.warm(new File(arguments[0]));
        }
        try {
            worker.run();
        } catch (IOException e) {
            Runtime.getRuntime().halt(1); // half a frame is of no use
        }
    }

    /**
     * Goes once through all that the first call of a function will need, so that it is loaded and linked: a class and its jar,
     * the reading of an event, the writing of a result.
     */
    private void warm(File folder) throws Throwable {
        load = new Load("{\"user_data\":{\"a\":\"b\"},\"max_result\":1000,\"env\":{}}", logger);
        Environment.set(load.map("env"));
        ClassLoader loader = Loader.of(folder);
        Shapes shapes = new Shapes(loader);
        for (String name : new String[] {"warm.Hello.handle", "warm.Hello.map"}) {
            handler = Handler.find(name, loader, shapes, new HashMap<Class<?>, Object>(), null);
            for (int i = 0; i < 3; i++) {
                Channel.Frame frame = new Channel.Frame();
                frame.meta = "\0\0\0\0\0\0\0\0id".getBytes(StandardCharsets.UTF_8);
                frame.body = "{\"name\":\"a\\u0041\",\"n\":12,\"f\":1.5,\"list\":[1,true,null]}".getBytes(StandardCharsets.UTF_8);
                answer(frame, false);
            }
        }
        output.end();
        load = null;
        handler = null;
        System.gc();
    }

    private void run() throws IOException {
        channel.send(Channel.READY, 0, NOTHING, NOTHING);
        Channel.Frame frame = next();
        if (frame.kind != Channel.LOAD) {
            Runtime.getRuntime().halt(1);
        }
        become(new String(frame.body, StandardCharsets.UTF_8));
        output.end();
        channel.send(Channel.LOADED, 0, NOTHING, NOTHING);
        Crew crew = load.number("concurrency") > 1 ? new Crew(this::serve) : null;
        if (crew != null) {
            output.divide();
        }
        for (;;) {
            frame = next();
            if (crew == null) {
                serve(frame);
            } else {
                crew.take(frame);
            }
        }
    }

    private void serve(Channel.Frame frame) throws IOException {
        if (frame.kind == Channel.CALL) {
            output.enter(frame.seq);
            answer(frame, true);
            output.enter(0);
        } else if (frame.kind == Channel.BEAT && beat != null || frame.kind == Channel.STOP && stop != null) {
            attend(frame, frame.kind == Channel.STOP);
        } else {
            Runtime.getRuntime().halt(1);
        }
    }

    /** Answers what is no call: the question whether all is well, and the word that this is the end. */
    private void attend(Channel.Frame frame, boolean last) throws IOException {
        Handler hook = last ? stop : beat;
        long deadline = System.currentTimeMillis() + (last ? load.number("stop_timeout_s") : 3) * 1000L;
        boolean well = false;
        try {
            Object said = hook.call(hook.arguments(NOTHING, context("", deadline, Collections.<String, Object>emptyMap())));
            well = last || said instanceof Boolean && (Boolean) said || said instanceof Number && ((Number) said).doubleValue() != 0;
        } catch (Throwable e) {
            logger.error(String.join("\n", Failure.stack(e)));
        }
        output.end();
        if (!last) {
            channel.send(Channel.BEATEN, frame.seq, new byte[] {(byte) (well ? 1 : 0)}, NOTHING);
        } else if (well) {
            channel.send(Channel.STOPPED, frame.seq, NOTHING, NOTHING);
        } else {
            List<String> none = Collections.emptyList();
            channel.send(Channel.FAILED, frame.seq, new byte[] {FAIL_EXCEPTION}, Failure.of("PreStop", "the pre-stop handler threw", none));
        }
    }

    private Channel.Frame next() throws IOException {
        Channel.Frame frame = channel.receive();
        if (frame == null) {
            Runtime.getRuntime().halt(0); // threads that the function left behind are not waited for
        }
        return frame;
    }

    /** Loads the code and runs the initializer, or says why not and waits until the server ends this process. */
    private void become(String json) throws IOException {
        char stage = FAIL_LOAD;
        try {
            load = new Load(json, logger);
            Environment.set(load.map("env"));
            File root = new File(load.text("code_root"));
            if (!root.isDirectory()) {
                throw new HandlerNotFound("the code folder " + root + " cannot be entered");
            }
            ClassLoader loader = Loader.of(root);
            Thread.currentThread().setContextClassLoader(loader);
            Shapes shapes = new Shapes(loader);
            Map<Class<?>, Object> made = new HashMap<>();
            handler = Handler.find(load.text("handler"), loader, shapes, made, null);
            beat = hook("beat_handler", "the heartbeat handler", loader, shapes, made);
            stop = hook("stop_handler", "the pre-stop handler", loader, shapes, made);
            Handler initializer = hook("init_handler", "the initializer", loader, shapes, made);
            if (initializer != null) {
                stage = FAIL_INIT;
                long deadline = System.currentTimeMillis() + load.number("init_timeout_s") * 1000L;
                initializer.call(initializer.arguments(NOTHING, context("", deadline, Collections.<String, Object>emptyMap())));
            }
        } catch (Throwable e) {
            fail(0, stage, e instanceof ExceptionInInitializerError && e.getCause() != null ? e.getCause() : e);
            next();
            Runtime.getRuntime().halt(1);
        }
    }

    /** A method that takes the context or nothing; null where the function has none. */
    private Handler hook(String name, String role, ClassLoader loader, Shapes shapes, Map<Class<?>, Object> made) throws Throwable {
        return load.text(name).isEmpty() ? null : Handler.find(load.text(name), loader, shapes, made, role);
    }

    private CallContext context(String id, long deadline, Map<String, Object> extra) {
        return new CallContext(load, id, deadline, extra);
    }

    @SuppressWarnings("unchecked")
    private CallContext context(byte[] meta) {
        String id = new String(meta, 8, meta.length - 8, StandardCharsets.UTF_8);
        int zero = id.indexOf('\0');
        Map<String, Object> extra = zero < 0 ? Collections.<String, Object>emptyMap() : (Map<String, Object>) Json.read(id.substring(zero + 1));
        load.renew(extra.get("credentials"));
        return context(zero < 0 ? id : id.substring(0, zero), ByteBuffer.wrap(meta).getLong(), extra);
    }

    /** Runs one call. It touches nothing of the worker's that changes, so that several calls may run at once. */
    private void answer(Channel.Frame frame, boolean send) throws IOException {
        char stage = FAIL_EXCEPTION;
        byte[] body;
        try {
            Object[] arguments = handler.arguments(frame.body, context(frame.meta));
            Object result = handler.call(arguments);
            stage = FAIL_RESULT;
            body = handler.result(result, arguments);
        } catch (Throwable e) {
            // A heap that is full may have hit any thread, also one of the function that others wait for.
            fail(frame.seq, e instanceof OutOfMemoryError ? FAIL_LAST : stage, e);
            if (e instanceof OutOfMemoryError) {
                Runtime.getRuntime().halt(1);
            }
            return;
        }
        output.end();
        if (body.length > load.number("max_result")) {
            String message = "the result is " + body.length + " bytes of JSON, over the limit of " + load.number("max_result");
            List<String> none = Collections.emptyList();
            channel.send(Channel.FAILED, frame.seq, new byte[] {FAIL_TOO_LARGE}, Failure.of("ResponseTooLarge", message, none));
            return;
        }
        byte[] peak = ByteBuffer.allocate(4).putInt(peak()).array();
        if (send) {
            channel.send(Channel.RESULT, frame.seq, peak, body);
        }
    }

    private void fail(int seq, char kind, Throwable error) throws IOException {
        output.end();
        boolean result = kind == FAIL_RESULT;
        byte[] body = Failure.of(error, result ? "the result cannot be written as JSON: " : "", !result);
        channel.send(Channel.FAILED, seq, new byte[] {(byte) kind}, body);
    }

    /** The highest resident memory of this process so far, in KiB. */
    private synchronized int peak() {
        if (status == null) {
            return 0;
        }
        try {
            byte[] text = new byte[2048];
            status.seek(0);
            String all = new String(text, 0, status.read(text), StandardCharsets.ISO_8859_1);
            int from = all.indexOf("VmHWM:") + 6;
            return Integer.parseInt(all.substring(from, all.indexOf("kB", from)).trim());
        } catch (IOException | RuntimeException e) {
            return 0;
        }
    }
}
