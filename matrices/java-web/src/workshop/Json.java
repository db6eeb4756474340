package workshop;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON (RFC 8259), read strictly and to a bounded depth: objects are maps, numbers BigDecimal. */
final class Json {
    private static final int DEPTH = 32;
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Raises IllegalArgumentException where the text is no JSON. */
    static Object read(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        json.blank();
        Checks.demand(json.at == text.length(), "JSON: more follows at " + json.at);
        return value;
    }

    private Object value(int depth) {
        Checks.demand(depth < DEPTH, "JSON: nested too deeply");
        blank();
        return switch (peek()) {
            case '{' -> object(depth);
            case '[' -> array(depth);
            case '"' -> string();
            case 't' -> word("true", true);
            case 'f' -> word("false", false);
            case 'n' -> word("null", null);
            default -> number();
        };
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> members = new LinkedHashMap<>();
        at++;
        blank();
        if (taken('}')) {
            return members;
        }
        do {
            blank();
            String name = string();
            blank();
            expect(':');
            Checks.demand(!members.containsKey(name), "JSON: twice " + name);
            members.put(name, value(depth + 1));
            blank();
        } while (taken(','));
        expect('}');
        return members;
    }

    private List<Object> array(int depth) {
        List<Object> items = new ArrayList<>();
        at++;
        blank();
        if (taken(']')) {
            return items;
        }
        do {
            items.add(value(depth + 1));
            blank();
        } while (taken(','));
        expect(']');
        return items;
    }

    private String string() {
        expect('"');
        StringBuilder built = new StringBuilder();
        while (peek() != '"') {
            char letter = text.charAt(at++);
            Checks.demand(letter >= ' ', "JSON: a control character in a string");
            built.append(letter == '\\' ? escaped() : letter);
        }
        at++;
        return built.toString();
    }

    private char escaped() {
        char letter = peek();
        at++;
        int found = "\"\\/bfnrt".indexOf(letter);
        if (found >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(found);
        }
        String digits = at + 4 <= text.length() ? text.substring(at, at + 4) : "";
        Checks.demand(letter == 'u' && digits.matches("[0-9a-fA-F]{4}"), "JSON: an escape at " + at);
        at += 4;
        return (char) Integer.parseInt(digits, 16);
    }

    private BigDecimal number() {
        int start = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String digits = text.substring(start, at);
        // A huge exponent is a small text and a large number.
        Checks.demand(digits.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]{1,3})?"), "JSON: a value at " + start);
        return new BigDecimal(digits);
    }

    private Object word(String word, Object value) {
        Checks.demand(text.startsWith(word, at), "JSON: a value at " + at);
        at += word.length();
        return value;
    }

    private void blank() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        Checks.demand(at < text.length(), "JSON: the text ends too early");
        return text.charAt(at);
    }

    private boolean taken(char letter) {
        boolean there = at < text.length() && text.charAt(at) == letter;
        at += there ? 1 : 0;
        return there;
    }

    private void expect(char letter) {
        Checks.demand(taken(letter), "JSON: " + letter + " is expected at " + at);
    }

    static String write(Object value) {
        StringBuilder built = new StringBuilder();
        write(value, built);
        return built.toString();
    }

    private static void write(Object value, StringBuilder built) {
        if (value instanceof Map<?, ?> members) {
            String between = "{";
            for (var member : new java.util.TreeMap<>(members).entrySet()) {
                built.append(between);
                quote(String.valueOf(member.getKey()), built);
                built.append(':');
                write(member.getValue(), built);
                between = ",";
            }
            built.append(members.isEmpty() ? "{}" : "}");
        } else if (value instanceof List<?> items) {
            built.append('[');
            for (int i = 0; i < items.size(); i++) {
                built.append(i == 0 ? "" : ",");
                write(items.get(i), built);
            }
            built.append(']');
        } else if (value instanceof BigDecimal number) {
            built.append(number.toPlainString());
        } else if (value == null || value instanceof Number || value instanceof Boolean) {
            built.append(value);
        } else {
            quote(String.valueOf(value), built);
        }
    }

    private static void quote(String text, StringBuilder built) {
        built.append('"');
        for (char letter : text.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                built.append('\\').append(letter);
            } else if (letter < ' ') {
                built.append(String.format("\\u%04x", (int) letter));
            } else {
                built.append(letter);
            }
        }
        built.append('"');
    }
}
