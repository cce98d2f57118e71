package hanshu;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.Map;
import java.util.TimeZone;

/**
 * Sets variables of this process. Java has no call for it, and a worker starts before its function is known: so they are put
 * into the map that System.getenv reads, which the manifest opens for this. A child process gets them where the function has
 * called environment() of its ProcessBuilder, which copies that map; else it gets the variables of before.
 */
final class Environment {
    private Environment() {
    }

    static void set(Map<String, String> variables) throws ReflectiveOperationException {
        Class<?> process = Class.forName("java.lang.ProcessEnvironment");
        Field field = process.getDeclaredField("theEnvironment");
        field.setAccessible(true);
        @SuppressWarnings("unchecked")
        Map<Object, Object> all = (Map<Object, Object>) field.get(null);
        Method name = maker("java.lang.ProcessEnvironment$Variable");
        Method value = maker("java.lang.ProcessEnvironment$Value");
        for (Map.Entry<String, String> entry : variables.entrySet()) {
            all.put(name.invoke(null, entry.getKey()), value.invoke(null, entry.getValue()));
        }
        if (variables.containsKey("TZ")) {
            TimeZone.setDefault(TimeZone.getTimeZone(variables.get("TZ")));
        }
    }

    private static Method maker(String type) throws ReflectiveOperationException {
        Method maker = Class.forName(type).getDeclaredMethod("valueOf", String.class);
        maker.setAccessible(true);
        return maker;
    }
}
