package workshop;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Tables as spreadsheets write and read them (RFC 4180). */
final class Csv {
    private Csv() {}

    /** The text of a file: UTF-8, with or without its mark, else GB18030, as Excel writes in China. */
    static String text(byte[] bytes) {
        for (Charset charset : List.of(StandardCharsets.UTF_8, Charset.forName("GB18030"))) {
            try {
                String text = charset.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
                return text.startsWith("\uFEFF") ? text.substring(1) : text;
            } catch (CharacterCodingException error) {
                continue;
            }
        }
        throw new IllegalArgumentException("the file is neither UTF-8 nor GB18030 / 文件编码不是 UTF-8 或 GB18030");
    }

    static List<List<String>> read(String text) {
        List<List<String>> rows = new ArrayList<>();
        List<String> row = new ArrayList<>();
        StringBuilder cell = new StringBuilder();
        boolean quoted = false;
        for (int i = 0; i < text.length(); i++) {
            char letter = text.charAt(i);
            if (quoted && letter == '"' && i + 1 < text.length() && text.charAt(i + 1) == '"') {
                cell.append(letter);
                i++;
            } else if (letter == '"') {
                quoted = !quoted;
            } else if (quoted || (letter != ',' && letter != '\n' && letter != '\r')) {
                cell.append(letter);
            } else if (letter != '\r') {
                row.add(cell.toString());
                cell.setLength(0);
                if (letter == '\n') {
                    rows.add(row);
                    row = new ArrayList<>();
                }
            }
        }
        Checks.demand(!quoted, "a quotation mark is not closed / 引号未闭合");
        if (cell.length() > 0 || !row.isEmpty()) {
            row.add(cell.toString());
            rows.add(row);
        }
        return rows;
    }

    /** A row. A text that a spreadsheet would take for a formula begins with a quotation mark. */
    static String row(Object... cells) {
        StringBuilder built = new StringBuilder();
        for (Object cell : cells) {
            String text = String.valueOf(cell);
            boolean formula = cell instanceof String && !text.isEmpty() && "=+-@\t\r".indexOf(text.charAt(0)) >= 0;
            built.append(built.length() == 0 ? "\"" : ",\"").append(formula ? "'" : "");
            built.append(text.replace("\"", "\"\"")).append('"');
        }
        return built.append("\r\n").toString();
    }
}
