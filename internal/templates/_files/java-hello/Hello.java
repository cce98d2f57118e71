package example;

import java.util.Collections;
import java.util.Map;

public class Hello {
    /** Greets whom the event names; what is returned goes back as JSON. */
    public Map<String, Object> handle(Map<String, Object> event) {
        Object name = event.getOrDefault("name", "world");
        System.out.println("greeting " + name);
        String greeting = System.getenv().getOrDefault("GREETING", "Hello");
        return Collections.singletonMap("message", greeting + ", " + name + "!");
    }
}
