package hanshu;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A method of the function, found by a name such as "pkg.Class.method" (FunctionGraph reference 5.2). */
final class Handler {
    private final Method method;
    private final Object target; // null for a static method
    private final Type event; // null when the method takes none
    private final boolean streams;
    private final Reader reader;
    private final Shapes shapes;

    private Handler(Method method, Object target, Shapes shapes) {
        this.method = method;
        this.target = target;
        this.shapes = shapes;
        this.reader = new Reader(shapes);
        Class<?>[] types = method.getParameterTypes();
        this.streams = types.length >= 2 && types[0] == InputStream.class && types[1] == OutputStream.class;
        this.event = types.length > 0 && !isContext(types[0]) ? method.getGenericParameterTypes()[0] : null;
    }

    /**
     * Finds the method and makes an object for it, unless made has one of that class already.
     *
     * @param role what takes the context alone, such as "the initializer"; null for the handler of events
     */
    static Handler find(String name, ClassLoader loader, Shapes shapes, Map<Class<?>, Object> made, String role) throws Throwable {
        int dot = name.lastIndexOf('.');
        Class<?> type = load(name.substring(0, dot), loader);
        Method method = choose(type, name.substring(dot + 1), role);
        method.setAccessible(true); // of a public method in a class that is not
        if (Modifier.isStatic(method.getModifiers())) {
            Class.forName(type.getName(), true, loader); // its static parts run now and not in the first call
            return new Handler(method, null, shapes);
        }
        if (!made.containsKey(type)) {
            made.put(type, make(type));
        }
        return new Handler(method, made.get(type), shapes);
    }

    private static Class<?> load(String name, ClassLoader loader) throws HandlerNotFound {
        try {
            return Class.forName(name, false, loader);
        } catch (ClassNotFoundException | NoClassDefFoundError e) {
            if (e instanceof NoClassDefFoundError && !String.valueOf(e.getMessage()).contains("wrong name")) {
                throw (NoClassDefFoundError) e; // a class that this one needs
            }
            throw new HandlerNotFound("there is no class " + name + " in the package; a handler is named package.Class.method");
        }
    }

    private static Object make(Class<?> type) throws Throwable {
        if (Modifier.isAbstract(type.getModifiers())) {
            throw new HandlerNotFound("class " + type.getName() + " is abstract, so its method must be static");
        }
        try {
            Constructor<?> constructor = type.getDeclaredConstructor();
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (NoSuchMethodException e) {
            throw new HandlerNotFound("class " + type.getName() + " has no constructor without parameters");
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    private static boolean isContext(Class<?> type) {
        return type != Object.class && type.isAssignableFrom(CallContext.class);
    }

    /** Of several methods of the name the one with the most parameters counts; two alike are refused. */
    private static Method choose(Class<?> type, String name, String role) throws HandlerNotFound {
        boolean initializer = role != null;
        Method best = null;
        boolean several = false;
        List<String> candidates = new ArrayList<>();
        for (Method method : type.getMethods()) {
            if (!method.getName().equals(name) || method.isBridge() || method.isSynthetic()) {
                continue;
            }
            candidates.add(method.toGenericString());
            if (!fits(method.getParameterTypes(), initializer)) {
                continue;
            }
            int more = best == null ? 1 : method.getParameterTypes().length - best.getParameterTypes().length;
            several = more == 0 || more < 0 && several;
            best = more > 0 ? method : best;
        }
        String form = initializer ? "it takes a Context or nothing"
                : "it takes an event and a Context, one of them or none, or an InputStream, an OutputStream and a Context";
        if (best == null && candidates.isEmpty()) {
            throw new HandlerNotFound("class " + type.getName() + " has no public method " + name + "; it has " + methods(type));
        }
        if (best == null) {
            throw new HandlerNotFound("no method " + name + " can be called as " + (initializer ? role : "the handler") + ": " + form
                    + "; there is " + String.join(", ", candidates));
        }
        if (several) {
            throw new HandlerNotFound("several methods " + name + " fit, so one must get another name: " + String.join(", ", candidates));
        }
        return best;
    }

    private static String methods(Class<?> type) {
        List<String> names = new ArrayList<>();
        for (Method method : type.getMethods()) {
            if (method.getDeclaringClass() != Object.class && !names.contains(method.getName()) && names.size() < 20) {
                names.add(method.getName());
            }
        }
        return names.isEmpty() ? "no public method" : String.join(", ", names);
    }

    private static boolean fits(Class<?>[] types, boolean initializer) {
        switch (types.length) {
            case 0:
                return true;
            case 1:
                return initializer ? isContext(types[0]) : types[0] != InputStream.class && types[0] != OutputStream.class;
            case 2:
                return !initializer && (isContext(types[1]) || types[0] == InputStream.class && types[1] == OutputStream.class);
            case 3:
                return !initializer && types[0] == InputStream.class && types[1] == OutputStream.class && isContext(types[2]);
            default:
                return false;
        }
    }

    /** Makes what the method takes of an event. */
    Object[] arguments(byte[] body, CallContext context) {
        Object[] arguments = new Object[method.getParameterTypes().length];
        for (int i = 0; i < arguments.length; i++) {
            arguments[i] = context;
        }
        if (streams) {
            arguments[0] = new ByteArrayInputStream(body);
            arguments[1] = new ByteArrayOutputStream();
        } else if (event != null) {
            String text = new String(body, StandardCharsets.UTF_8);
            // A String is the text of the event as it came, as FunctionGraph has it.
            arguments[0] = event == String.class ? text : reader.read(text, event);
        }
        return arguments;
    }

    Object call(Object[] arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    /** The result as JSON text. What a stream was given stands as it is where it is JSON, else as a string. */
    byte[] result(Object value, Object[] arguments) {
        if (!streams) {
            return Writer.write(value, shapes).getBytes(StandardCharsets.UTF_8);
        }
        byte[] written = ((ByteArrayOutputStream) arguments[1]).toByteArray();
        String text = new String(written, StandardCharsets.UTF_8);
        if (text.isEmpty()) {
            return "null".getBytes(StandardCharsets.UTF_8);
        }
        try {
            Json.read(text);
            return written;
        } catch (JsonException e) {
            return Writer.write(text, shapes).getBytes(StandardCharsets.UTF_8);
        }
    }
}
