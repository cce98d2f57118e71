package hanshu;

import java.util.Collections;
import java.util.Map;

/** The load of a worker: what it is to become. */
final class Load {
    final Logger logger;
    volatile Object state; // of the function's own, by Context.setState
    private final Map<String, Object> values;
    private volatile Map<String, Object> renewed = Collections.emptyMap(); // credentials in place of those in values

    @SuppressWarnings("unchecked")
    Load(String json, Logger logger) {
        this.values = (Map<String, Object>) Json.read(json);
        this.logger = logger;
    }

    String text(String name) {
        Object value = renewed.get(name);
        if (value == null) {
            value = values.get(name);
        }
        return value == null ? "" : (String) value;
    }

    @SuppressWarnings("unchecked")
    void renew(Object credentials) {
        if (credentials != null) {
            renewed = (Map<String, Object>) credentials;
        }
    }

    /** A number; 0 where there is none. */
    int number(String name) {
        Object value = values.get(name);
        return value == null ? 0 : ((Number) value).intValue();
    }

    @SuppressWarnings("unchecked")
    Map<String, String> map(String name) {
        Object value = values.get(name);
        return value == null ? Collections.<String, String>emptyMap() : (Map<String, String>) value;
    }
}
