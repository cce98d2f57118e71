package hanshu;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/** The body of a failed frame: bounded, without the frames of the worker. */
final class Failure {
    private static final int MAX_MESSAGE = 32 << 10; // characters
    private static final int MAX_STACK = 200; // lines
    private static final int MAX_LINE = 2000; // characters

    private Failure() {
    }

    static byte[] of(Throwable error, String before, boolean withStack) {
        return of(type(error), before + message(error), withStack ? stack(error) : Collections.<String>emptyList());
    }

    static byte[] of(String type, String message, List<String> stack) {
        StringBuilder out = new StringBuilder("{\"errorMessage\":");
        Json.quote(out, cut(message, MAX_MESSAGE));
        Json.quote(out.append(",\"errorType\":"), cut(type, MAX_LINE));
        out.append(",\"stackTrace\":[");
        for (int i = 0; i < stack.size(); i++) {
            Json.quote(out.append(i == 0 ? "" : ","), cut(stack.get(i), MAX_LINE));
        }
        return out.append("]}").toString().getBytes(StandardCharsets.UTF_8);
    }

    private static String cut(String text, int most) {
        return text.length() > most ? text.substring(0, most) + "..." : text;
    }

    private static String type(Throwable error) {
        String name = error.getClass().getName();
        return name.startsWith("hanshu.") ? error.getClass().getSimpleName() : name;
    }

    private static String message(Throwable error) {
        try {
            String message = error.getMessage();
            return message == null ? "" : message;
        } catch (Throwable e) {
            return "<the message of this exception cannot be printed>";
        }
    }

    static List<String> stack(Throwable error) {
        List<String> lines = new ArrayList<>();
        Set<Throwable> seen = Collections.newSetFromMap(new IdentityHashMap<Throwable, Boolean>());
        try {
            for (Throwable e = error; e != null && seen.add(e); e = e.getCause()) {
                String[] message = cut(message(e), MAX_LINE).split("\n", 2);
                lines.add((lines.isEmpty() ? "" : "Caused by: ") + type(e) + (message[0].isEmpty() ? "" : ": " + message[0]));
                places(e.getStackTrace(), lines);
            }
        } catch (Throwable e) {
            lines.add("... the rest cannot be printed ...");
        }
        if (lines.size() > MAX_STACK) {
            List<String> middle = lines.subList(MAX_STACK / 2, lines.size() - MAX_STACK / 2);
            int out = middle.size();
            middle.clear();
            lines.add(MAX_STACK / 2, "... " + out + " lines left out ...");
        }
        return lines;
    }

    /** Adds the places down to where the worker called the function, which it does by reflection. */
    private static void places(StackTraceElement[] places, List<String> lines) {
        int end = places.length;
        for (int i = 0; i < places.length; i++) {
            if (places[i].getClassName().startsWith("hanshu.")) {
                end = i;
                break;
            }
        }
        while (end > 0 && end < places.length && reflective(places[end - 1].getClassName())) {
            end--;
        }
        for (int i = 0; i < end; i++) {
            lines.add("\tat " + places[i]);
        }
    }

    private static boolean reflective(String name) {
        return name.startsWith("java.lang.reflect.") || name.startsWith("jdk.internal.reflect.") || name.startsWith("sun.reflect.")
                || name.startsWith("java.lang.invoke.");
    }
}
