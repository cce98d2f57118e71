package hanshu;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Makes of plain JSON values what a handler takes: objects of the function's classes by their fields, collections with the types
 * of their elements, numbers, texts, enums. A name without a field is left out, a field without a name keeps its default.
 */
final class Reader {
    private final Shapes shapes;

    Reader(Shapes shapes) {
        this.shapes = shapes;
    }

    Object read(String text, Type type) {
        if (type instanceof Class) {
            Gson gson = shapes.gson((Class<?>) type);
            if (gson != null) {
                return gson.read(text, type);
            }
        }
        return value(Json.read(text), type, Collections.<TypeVariable<?>, Type>emptyMap());
    }

    /** variables are the types that stand for the type variables of the class around. */
    private Object value(Object v, Type type, Map<TypeVariable<?>, Type> variables) {
        if (type instanceof TypeVariable) {
            Type known = variables.get(type);
            return value(v, known != null ? known : ((TypeVariable<?>) type).getBounds()[0], variables);
        }
        if (type instanceof WildcardType) {
            return value(v, ((WildcardType) type).getUpperBounds()[0], variables);
        }
        if (type instanceof GenericArrayType) {
            return array(v, ((GenericArrayType) type).getGenericComponentType(), variables);
        }
        if (type instanceof ParameterizedType) {
            ParameterizedType generic = (ParameterizedType) type;
            return plain(v, (Class<?>) generic.getRawType(), generic.getActualTypeArguments(), variables);
        }
        return plain(v, (Class<?>) type, new Type[0], variables);
    }

    private Object plain(Object v, Class<?> c, Type[] arguments, Map<TypeVariable<?>, Type> variables) {
        if (v == null) {
            if (c.isPrimitive()) {
                throw new JsonException("null does not fit " + c);
            }
            return null;
        }
        if (c == Object.class) {
            return v;
        }
        Gson gson = shapes.gson(c);
        if (gson != null) {
            return gson.read(Writer.write(v, shapes), c);
        }
        if (c.isArray()) {
            return array(v, c.getComponentType(), variables);
        }
        if (Map.class.isAssignableFrom(c)) {
            return map(v, c, argument(arguments, 0, String.class), argument(arguments, 1, Object.class), variables);
        }
        if (Iterable.class.isAssignableFrom(c) && Shapes.ofJava(c) || Collection.class.isAssignableFrom(c)) {
            return collection(v, c, argument(arguments, 0, Object.class), variables);
        }
        if (c.isPrimitive() || c == String.class || c == CharSequence.class || c == Boolean.class || c == Character.class
                || Number.class.isAssignableFrom(c) || c.isEnum()) {
            return scalar(v, c);
        }
        if (Shapes.ofJava(c)) {
            throw new JsonException("an event cannot be made into a " + c.getName() + "; take a String, a Map or an object of your own");
        }
        Map<TypeVariable<?>, Type> inside = new HashMap<>(variables);
        for (int i = 0; i < arguments.length; i++) {
            inside.put(c.getTypeParameters()[i], resolved(arguments[i], variables));
        }
        return object(v, c, inside);
    }

    private static Type resolved(Type type, Map<TypeVariable<?>, Type> variables) {
        Type known = variables.get(type);
        return known != null ? known : type;
    }

    private static Type argument(Type[] arguments, int i, Type missing) {
        return i < arguments.length ? arguments[i] : missing;
    }

    private static JsonException misfit(Object v, Class<?> c) {
        String what = v instanceof Map ? "an object" : v instanceof Collection ? "a list" : v instanceof String ? "a text"
                : v instanceof Boolean ? "true or false" : "the number " + v;
        return new JsonException(what + " does not fit " + c.getTypeName());
    }

    private Object array(Object v, Type element, Map<TypeVariable<?>, Type> variables) {
        Class<?> raw = raw(element, variables);
        if (v == null) {
            return null;
        }
        if (!(v instanceof Collection)) {
            throw misfit(v, Array.newInstance(raw, 0).getClass());
        }
        Object array = Array.newInstance(raw, ((Collection<?>) v).size());
        int i = 0;
        for (Object e : (Collection<?>) v) {
            Array.set(array, i++, value(e, element, variables));
        }
        return array;
    }

    private static Class<?> raw(Type type, Map<TypeVariable<?>, Type> variables) {
        if (type instanceof Class) {
            return (Class<?>) type;
        }
        if (type instanceof ParameterizedType) {
            return (Class<?>) ((ParameterizedType) type).getRawType();
        }
        return variables.containsKey(type) ? raw(variables.get(type), variables) : Object.class;
    }

    @SuppressWarnings("unchecked")
    private Object map(Object v, Class<?> c, Type key, Type element, Map<TypeVariable<?>, Type> variables) {
        if (!(v instanceof Map)) {
            throw misfit(v, c);
        }
        Map<Object, Object> map = c.isAssignableFrom(LinkedHashMap.class) ? new LinkedHashMap<>()
                : c.isAssignableFrom(TreeMap.class) ? new TreeMap<>() : (Map<Object, Object>) make(c);
        Class<?> names = raw(key, variables);
        for (Map.Entry<String, Object> entry : ((Map<String, Object>) v).entrySet()) {
            map.put(names == Object.class ? entry.getKey() : scalar(entry.getKey(), names), value(entry.getValue(), element, variables));
        }
        return map;
    }

    @SuppressWarnings("unchecked")
    private Object collection(Object v, Class<?> c, Type element, Map<TypeVariable<?>, Type> variables) {
        if (!(v instanceof Collection)) {
            throw misfit(v, c);
        }
        Collection<Object> all = c.isAssignableFrom(ArrayList.class) ? new ArrayList<>()
                : c.isAssignableFrom(LinkedHashSet.class) ? new LinkedHashSet<>()
                : c.isAssignableFrom(TreeSet.class) ? new TreeSet<>()
                : c.isAssignableFrom(ArrayDeque.class) ? new ArrayDeque<>() : (Collection<Object>) make(c);
        for (Object e : (Collection<?>) v) {
            all.add(value(e, element, variables));
        }
        return all;
    }

    /** Texts and numbers become each other where nothing is lost, as Gson has it; an unknown name of an enum becomes null. */
    private static Object scalar(Object v, Class<?> c) {
        if (v instanceof Map || v instanceof Collection) {
            throw misfit(v, c);
        }
        if (c.isEnum()) {
            for (Object constant : c.getEnumConstants()) {
                if (((Enum<?>) constant).name().equals(v)) {
                    return constant;
                }
            }
            return null;
        }
        String text = v.toString();
        if (c == String.class || c == CharSequence.class) {
            return text;
        }
        if (c == boolean.class || c == Boolean.class) {
            if (text.equals("true") || text.equals("false")) {
                return Boolean.valueOf(text);
            }
            throw misfit(v, c);
        }
        if (c == char.class || c == Character.class) {
            if (v instanceof String && text.length() == 1) {
                return text.charAt(0);
            }
            throw misfit(v, c);
        }
        try {
            return number(new BigDecimal(text), v, c);
        } catch (ArithmeticException | NumberFormatException e) {
            throw misfit(v, c);
        }
    }

    private static Object number(BigDecimal n, Object v, Class<?> c) {
        if (c == double.class || c == Double.class) {
            return n.doubleValue();
        } else if (c == float.class || c == Float.class) {
            return n.floatValue();
        } else if (c == BigDecimal.class) {
            return n;
        } else if (c == Number.class) {
            return v instanceof Number ? v : n;
        } else if (n.scale() < -400) {
            throw misfit(v, c); // whole numbers of which an exponent makes gigabytes
        } else if (c == BigInteger.class) {
            return n.toBigIntegerExact();
        } else if (c == int.class || c == Integer.class) {
            return n.intValueExact();
        } else if (c == long.class || c == Long.class) {
            return n.longValueExact();
        } else if (c == short.class || c == Short.class) {
            return n.shortValueExact();
        } else if (c == byte.class || c == Byte.class) {
            return n.byteValueExact();
        }
        throw misfit(v, c);
    }

    private Object object(Object v, Class<?> c, Map<TypeVariable<?>, Type> variables) {
        if (!(v instanceof Map)) {
            throw misfit(v, c);
        }
        Map<?, ?> values = (Map<?, ?>) v;
        Map<String, Field> fields = shapes.of(c);
        Map<Field, Object> content = new LinkedHashMap<>();
        for (Map.Entry<String, Field> entry : fields.entrySet()) {
            Field field = entry.getValue();
            Object given = values.get(entry.getKey());
            if (values.containsKey(entry.getKey()) && (given != null || !field.getType().isPrimitive())) {
                try {
                    content.put(field, value(given, field.getGenericType(), variables));
                } catch (JsonException e) {
                    throw new JsonException(entry.getKey() + ": " + e.getMessage());
                }
            }
        }
        if (c.getSuperclass() != null && c.getSuperclass().getName().equals("java.lang.Record")) {
            return record(c, fields, content);
        }
        Object made = make(c);
        for (Map.Entry<Field, Object> entry : content.entrySet()) {
            try {
                entry.getKey().set(made, entry.getValue());
            } catch (IllegalAccessException e) {
                throw new JsonException("the field " + entry.getKey() + " cannot be written");
            }
        }
        return made;
    }

    /** A record gets all its fields at once, in their order. */
    private static Object record(Class<?> c, Map<String, Field> fields, Map<Field, Object> content) {
        Class<?>[] types = new Class<?>[fields.size()];
        Object[] values = new Object[fields.size()];
        int i = 0;
        for (Field field : fields.values()) {
            types[i] = field.getType();
            Object none = types[i].isPrimitive() ? Array.get(Array.newInstance(types[i], 1), 0) : null;
            values[i++] = content.containsKey(field) ? content.get(field) : none;
        }
        try {
            Constructor<?> constructor = c.getDeclaredConstructor(types);
            constructor.setAccessible(true);
            return constructor.newInstance(values);
        } catch (InvocationTargetException e) {
            throw thrown(e, c);
        } catch (ReflectiveOperationException e) {
            throw new JsonException("a " + c.getName() + " cannot be made: " + e.getMessage());
        }
    }

    /** Calls the constructor without parameters. A class without one, as inner classes are, is made without any, as Gson does. */
    private static Object make(Class<?> c) {
        if (c.isInterface() || Modifier.isAbstract(c.getModifiers())) {
            throw new JsonException(c.getName() + " is abstract, so no event can be made into one; take a class, a String or a Map");
        }
        try {
            Constructor<?> constructor = c.getDeclaredConstructor();
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (InvocationTargetException e) {
            throw thrown(e, c);
        } catch (ReflectiveOperationException e) {
            try {
                Class<?> unsafe = Class.forName("sun.misc.Unsafe");
                Field one = unsafe.getDeclaredField("theUnsafe");
                one.setAccessible(true);
                return unsafe.getMethod("allocateInstance", Class.class).invoke(one.get(null), c);
            } catch (ReflectiveOperationException | RuntimeException none) {
                throw new JsonException(c.getName() + " has no constructor without parameters");
            }
        }
    }

    private static RuntimeException thrown(InvocationTargetException e, Class<?> c) {
        if (e.getCause() instanceof Error) {
            throw (Error) e.getCause();
        }
        return e.getCause() instanceof RuntimeException ? (RuntimeException) e.getCause()
                : new JsonException("a " + c.getName() + " cannot be made: " + e.getCause());
    }
}
