package hanshu;

import java.io.IOException;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** Threads that take calls side by side: as many as there are calls at a time, and none for long without. */
final class Crew {
    private static final long STACK = 8 << 20; // bytes, as the only thread has otherwise

    /** What is done with a frame. */
    interface Work {
        void serve(Channel.Frame frame) throws IOException;
    }

    private final Work work;
    private final ThreadPoolExecutor threads;

    Crew(Work work) {
        this.work = work;
        threads = new ThreadPoolExecutor(0, Integer.MAX_VALUE, 10, TimeUnit.SECONDS, new SynchronousQueue<Runnable>(), task -> {
            Thread thread = new Thread(null, task, "call", STACK);
            thread.setDaemon(true);
            return thread;
        });
    }

    void take(Channel.Frame frame) {
        threads.execute(() -> {
            try {
                work.serve(frame);
            } catch (IOException e) {
                Runtime.getRuntime().halt(1); // half a frame is of no use
            }
        });
    }
}
