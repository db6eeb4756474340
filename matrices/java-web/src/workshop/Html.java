package workshop;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;

/** Values for pages: JSPs live in another package, so what they call is public. */
public final class Html {
    private Html() {}

    /** Text for HTML, between tags and in quoted attributes. */
    public static String text(Object value) {
        return String.valueOf(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                .replace("\"", "&quot;").replace("'", "&#39;");
    }

    /** A value in the query of an address. */
    public static String query(String value) {
        return URLEncoder.encode(value, StandardCharsets.UTF_8);
    }
}
