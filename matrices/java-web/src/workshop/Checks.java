package workshop;

/** What a user may give. */
final class Checks {
    private Checks() {}

    static void demand(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }

    /** Characters, not UTF-16 units: 𠮷 is one. */
    static int length(String text) {
        return text.codePointCount(0, text.length());
    }

    static String given(String value) {
        return value == null ? "" : value.strip();
    }

    /** The number of a page, from 0; anything else is the first. */
    static int page(String value) {
        return value != null && value.matches("[0-9]{1,6}") ? Integer.parseInt(value) : 0;
    }
}
