package hanshu;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Type;

/** The Gson that a function has brought with it, called by name: the worker itself has no library. */
final class Gson {
    private final Object gson;
    private final Method read;
    private final Method write;

    private Gson(Object gson) throws ReflectiveOperationException {
        this.gson = gson;
        read = gson.getClass().getMethod("fromJson", String.class, Type.class);
        write = gson.getClass().getMethod("toJson", Object.class);
    }

    /** Gives null where the function's classes have no Gson. */
    static Gson find(ClassLoader loader) {
        try {
            Class<?> builder = loader.loadClass("com.google.gson.GsonBuilder");
            Object settings = builder.getConstructor().newInstance();
            builder.getMethod("serializeNulls").invoke(settings);
            builder.getMethod("disableHtmlEscaping").invoke(settings);
            return new Gson(builder.getMethod("create").invoke(settings));
        } catch (ReflectiveOperationException | LinkageError e) {
            return null;
        }
    }

    Object read(String text, Type type) {
        return call(read, text, type);
    }

    String write(Object value) {
        return (String) call(write, value);
    }

    private Object call(Method method, Object... arguments) {
        try {
            return method.invoke(gson, arguments);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof RuntimeException) {
                throw (RuntimeException) e.getCause();
            }
            throw (Error) e.getCause(); // neither method declares an exception
        } catch (IllegalAccessException e) {
            throw new JsonException("the Gson of this package cannot be called: " + e.getMessage());
        }
    }
}
