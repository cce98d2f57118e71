package example;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An example function. Compile it, then `hanshu deploy` sends the folder to the server, `hanshu invoke` calls it.
 *
 * A handler may take a class of its own in place of the Map, and com.huawei.services.runtime.Context as a second parameter
 * when it is compiled against FunctionGraph's Java SDK.
 */
public class Hello {
    /** Greets whom the event names. The event is the JSON that the caller sent; what is returned goes back as JSON. */
    public Map<String, Object> handle(Map<String, Object> event) {
        Object name = event.getOrDefault("name", "world");
        System.out.println("greeting " + name); // shows in `hanshu logs`
        String greeting = System.getenv().getOrDefault("GREETING", "Hello"); // set in hanshu.json
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("message", greeting + ", " + name + "!");
        return result;
    }
}
