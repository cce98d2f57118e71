package hanshu;

import java.lang.annotation.Annotation;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** What the function's classes look like in JSON: the fields of each, and its own Gson where its package has one. */
final class Shapes {
    private final Map<Class<?>, Map<String, Field>> known = new ConcurrentHashMap<>();
    private final ClassLoader loader; // of the function
    private Gson gson;
    private boolean searched;

    Shapes(ClassLoader loader) {
        this.loader = loader;
    }

    /** Tells whether a class is of the Java platform, whose fields are none of ours. */
    static boolean ofJava(Class<?> type) {
        ClassLoader from = type.getClassLoader();
        return from == null || from == ClassLoader.getSystemClassLoader().getParent();
    }

    /** The function's Gson, for a class of the function; null for every other class and where there is no Gson. */
    Gson gson(Class<?> type) {
        while (type.isArray()) {
            type = type.getComponentType();
        }
        if (type.isPrimitive() || ofJava(type) || type.getClassLoader() == Shapes.class.getClassLoader()) {
            return null;
        }
        synchronized (this) {
            if (!searched) {
                searched = true;
                gson = Gson.find(loader);
            }
            return gson;
        }
    }

    /** The fields of a class by their names in JSON, those of its parents first. */
    Map<String, Field> of(Class<?> type) {
        return known.computeIfAbsent(type, Shapes::look);
    }

    private static Map<String, Field> look(Class<?> type) {
        List<Class<?>> line = new ArrayList<>();
        for (Class<?> c = type; c != null && !ofJava(c); c = c.getSuperclass()) {
            line.add(c);
        }
        Collections.reverse(line);
        Map<String, Field> fields = new LinkedHashMap<>();
        for (Class<?> c : line) {
            for (Field field : c.getDeclaredFields()) {
                if (!Modifier.isStatic(field.getModifiers()) && !Modifier.isTransient(field.getModifiers()) && !field.isSynthetic()) {
                    field.setAccessible(true);
                    fields.put(name(field), field);
                }
            }
        }
        return fields;
    }

    /** The name in JSON: Jackson's annotation counts where the package has it. Gson reads its own. */
    private static String name(Field field) {
        for (Annotation a : field.getDeclaredAnnotations()) {
            if (a.annotationType().getName().equals("com.fasterxml.jackson.annotation.JsonProperty")) {
                try {
                    String name = (String) a.annotationType().getMethod("value").invoke(a);
                    return name.isEmpty() ? field.getName() : name;
                } catch (ReflectiveOperationException e) {
                    return field.getName(); // an annotation of that name and another form
                }
            }
        }
        return field.getName();
    }
}
