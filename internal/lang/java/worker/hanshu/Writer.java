package hanshu;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Writes what a handler returns as JSON. Objects of the function's classes are written field by field, private ones included
 * and null ones too; by the function's own Gson where its package has one.
 */
final class Writer {
    private final Shapes shapes;
    private final StringBuilder out = new StringBuilder(256);
    private int depth;

    Writer(Shapes shapes) {
        this.shapes = shapes;
    }

    static String write(Object value, Shapes shapes) {
        Writer writer = new Writer(shapes);
        writer.value(value);
        return writer.out.toString();
    }

    private void value(Object v) {
        if (v == null || v instanceof Boolean) {
            out.append(v);
        } else if (v instanceof CharSequence || v instanceof Character) {
            Json.quote(out, v.toString());
        } else if (v instanceof Number) {
            number((Number) v);
        } else if (v instanceof Enum && shapes.gson(v.getClass()) == null) {
            Json.quote(out, ((Enum<?>) v).name());
        } else if (v instanceof Optional) {
            value(((Optional<?>) v).orElse(null));
        } else {
            if (++depth > Json.MAX_DEPTH) {
                throw new JsonException("it is nested more than " + Json.MAX_DEPTH + " deep, or contains itself");
            }
            composite(v);
            depth--;
        }
    }

    private void number(Number n) {
        if (n instanceof Double || n instanceof Float) {
            if (Double.isNaN(n.doubleValue()) || Double.isInfinite(n.doubleValue())) {
                throw new JsonException(n + " has no form in JSON");
            }
            out.append(n);
        } else if (n instanceof Long || n instanceof Integer || n instanceof Short || n instanceof Byte || n instanceof BigInteger
                || n instanceof BigDecimal || n instanceof AtomicInteger || n instanceof AtomicLong) {
            out.append(n);
        } else {
            value(n.doubleValue());
        }
    }

    private void composite(Object v) {
        Class<?> type = v.getClass();
        Gson gson = shapes.gson(type);
        if (gson != null) {
            out.append(gson.write(v));
        } else if (v instanceof Map) {
            map((Map<?, ?>) v);
        } else if (v instanceof Iterable && !(v instanceof java.nio.file.Path)) {
            char before = '[';
            for (Object element : (Iterable<?>) v) {
                out.append(before);
                before = ',';
                value(element);
            }
            out.append(before == '[' ? "[]" : "]");
        } else if (type.isArray()) {
            out.append('[');
            for (int i = 0, n = Array.getLength(v); i < n; i++) {
                out.append(i == 0 ? "" : ",");
                value(Array.get(v, i));
            }
            out.append(']');
        } else if (v instanceof UUID || v instanceof java.net.URI || type.getName().startsWith("java.time.")) {
            Json.quote(out, v.toString());
        } else if (Shapes.ofJava(type)) {
            throw new JsonException("a " + type.getName() + " has no form in JSON; return a text, a number, a map or an object of your own");
        } else {
            fields(v, type);
        }
    }

    private void map(Map<?, ?> map) {
        char before = '{';
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            Object key = entry.getKey();
            out.append(before);
            before = ',';
            Json.quote(out, key instanceof Enum ? ((Enum<?>) key).name() : String.valueOf(key));
            out.append(':');
            value(entry.getValue());
        }
        out.append(before == '{' ? "{}" : "}");
    }

    private void fields(Object v, Class<?> type) {
        out.append('{');
        boolean first = true;
        for (Map.Entry<String, Field> entry : shapes.of(type).entrySet()) {
            out.append(first ? "" : ",");
            first = false;
            Json.quote(out, entry.getKey());
            out.append(':');
            try {
                value(entry.getValue().get(v));
            } catch (IllegalAccessException e) {
                throw new JsonException("the field " + entry.getValue() + " cannot be read");
            }
        }
        out.append('}');
    }
}
