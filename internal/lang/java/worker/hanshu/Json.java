package hanshu;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Strict JSON text (RFC 8259) to plain values: Map, List, String, Long, BigInteger, Double, BigDecimal, Boolean and null.
 * Of a name that stands twice in an object the last one counts.
 */
final class Json {
    /** Of nested lists and objects, in an event and in a result. */
    static final int MAX_DEPTH = 1000;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    static Object read(String text) {
        Json json = new Json(text);
        json.space();
        Object value = json.value();
        json.space();
        if (json.at < text.length()) {
            throw json.broken("more text behind the value");
        }
        return value;
    }

    private JsonException broken(String why) {
        return new JsonException("not JSON at character " + at + ": " + why);
    }

    private void space() {
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
                return;
            }
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw broken("the text ends early");
        }
        return text.charAt(at);
    }

    private Object value() {
        switch (peek()) {
            case '{':
                return object();
            case '[':
                return list();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw broken("an unknown word");
        }
        at += word.length();
        return value;
    }

    private void enter() {
        at++;
        if (++depth > MAX_DEPTH) {
            throw new JsonException("JSON is nested more than " + MAX_DEPTH + " deep");
        }
        space();
    }

    /** Tells whether a further element follows; else the end has been read. */
    private boolean more(char end) {
        space();
        char c = peek();
        at++;
        if (c == end) {
            depth--;
            return false;
        }
        if (c != ',') {
            at--;
            throw broken("neither a comma nor " + end);
        }
        space();
        return true;
    }

    private Map<String, Object> object() {
        Map<String, Object> all = new LinkedHashMap<>();
        enter();
        if (peek() == '}') {
            at++;
            depth--;
            return all;
        }
        do {
            if (peek() != '"') {
                throw broken("a name was expected");
            }
            String name = string();
            space();
            if (peek() != ':') {
                throw broken("a colon was expected");
            }
            at++;
            space();
            all.put(name, value());
        } while (more('}'));
        return all;
    }

    private List<Object> list() {
        List<Object> all = new ArrayList<>();
        enter();
        if (peek() == ']') {
            at++;
            depth--;
            return all;
        }
        do {
            all.add(value());
        } while (more(']'));
        return all;
    }

    private String string() {
        int from = ++at;
        for (;; at++) {
            char c = peek();
            if (c == '"') {
                return text.substring(from, at++);
            }
            if (c == '\\') {
                return escaped(from);
            }
            if (c < ' ') {
                throw broken("a control character in a string");
            }
        }
    }

    private String escaped(int from) {
        StringBuilder out = new StringBuilder(text.length() - from < 4096 ? text.length() - from : 4096);
        out.append(text, from, at);
        for (;;) {
            char c = peek();
            at++;
            if (c == '"') {
                return out.toString();
            }
            if (c < ' ') {
                throw broken("a control character in a string");
            }
            out.append(c == '\\' ? escape() : c);
        }
    }

    private char escape() {
        char c = peek();
        at++;
        switch (c) {
            case '"':
            case '\\':
            case '/':
                return c;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                int code = 0;
                for (int i = 0; i < 4; i++, at++) {
                    int digit = Character.digit(peek(), 16);
                    if (digit < 0 || peek() > 'f') {
                        throw broken("an escape without four digits");
                    }
                    code = code << 4 | digit;
                }
                return (char) code;
            default:
                throw broken("an unknown escape");
        }
    }

    private Number number() {
        int from = at;
        boolean whole = true;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            digits();
        }
        if (at < text.length() && text.charAt(at) == '.') {
            whole = false;
            at++;
            digits();
        }
        if (at < text.length() && (text.charAt(at) | 0x20) == 'e') {
            whole = false;
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            digits();
        }
        String number = text.substring(from, at);
        if (!whole) {
            double d = Double.parseDouble(number);
            return Double.isInfinite(d) ? (Number) new BigDecimal(number) : (Number) d;
        }
        if (number.length() < 19) {
            return Long.parseLong(number);
        }
        BigInteger big = new BigInteger(number);
        return big.bitLength() < 64 ? (Number) big.longValue() : (Number) big;
    }

    private void digits() {
        int from = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == from) {
            throw broken("a digit was expected");
        }
    }

    /** Appends a string in quotes. Half of a surrogate pair, which UTF-8 cannot carry, is escaped. */
    static void quote(StringBuilder out, CharSequence text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c == '\n') {
                out.append("\\n");
            } else if (c < ' ') {
                hex(out, c);
            } else if (!Character.isSurrogate(c)) {
                out.append(c);
            } else if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                out.append(c).append(text.charAt(++i));
            } else {
                hex(out, c);
            }
        }
        out.append('"');
    }

    private static void hex(StringBuilder out, char c) {
        out.append("\\u");
        for (int shift = 12; shift >= 0; shift -= 4) {
            out.append(Character.forDigit(c >> shift & 15, 16));
        }
    }
}
