package warm;

import com.huawei.services.runtime.Context;
import java.util.List;
import java.util.Map;

/** A function for the worker to warm itself with. No foreign code sees it. */
public class Hello {
    /** An event. */
    public static class Event {
        private String name;
        private int n;
        private double f;
        private List<Object> list;

        @Override
        public String toString() {
            return name + n + f + list;
        }
    }

    public Event handle(Event event, Context context) {
        context.getLogger().debug(event + context.getRequestID() + context.getUserData("a"));
        return event;
    }

    public static Map<String, Object> map(Map<String, Object> event) {
        System.out.print("");
        return event;
    }
}
