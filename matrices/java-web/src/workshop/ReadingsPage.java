package workshop;

import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import workshop.Readings.Reading;

/** Readings of devices: a list, the summary that the job makes, a file that is uploaded, and the export. */
public final class ReadingsPage extends Page {
    private static final long serialVersionUID = 1L;
    private static final int MOST = 100_000;

    @Override
    void handle(HttpServletRequest request, HttpServletResponse response, boolean post)
            throws IOException, ServletException, SQLException {
        Readings readings = shared("readings", Readings.class);
        String device = Checks.given(request.getParameter("device"));
        if (post) {
            var part = request.getPart("file");
            Checks.demand(part != null, "a file is expected / 请选择文件");
            readings.store(parsed(Csv.text(part.getInputStream().readAllBytes())));
            response.sendRedirect(request.getContextPath() + "/readings");
        } else if (request.getParameter("export") != null) {
            response.setContentType("text/csv; charset=UTF-8");
            response.setHeader("Content-Disposition", "attachment; filename=\"readings.csv\"");
            var out = response.getWriter();
            out.write("\uFEFF" + Csv.row("device", "taken_at", "value", "unit"));
            for (Reading reading : readings.page(device, 0, MOST)) {
                out.write(Csv.row(reading.device(), reading.time(), reading.amount().toPlainString(), reading.unit()));
            }
        } else {
            int number = Checks.page(request.getParameter("page"));
            request.setAttribute("readings", readings.page(device, number, Readings.PAGE));
            request.setAttribute("summaries", readings.summaries());
            request.setAttribute("device", device);
            show("readings.jsp", request, response);
        }
    }

    /** Readings of a table: device, time, value, unit; its first row is a heading. */
    static List<Reading> parsed(String text) {
        List<List<String>> rows = Csv.read(text);
        List<Reading> readings = new ArrayList<>();
        for (int i = 1; i < rows.size(); i++) {
            List<String> row = rows.get(i);
            try {
                Checks.demand(row.size() == 4, "four columns are expected / 应有四列");
                readings.add(Reading.of(row.get(0).strip(), row.get(1).strip(), row.get(2).strip(), row.get(3).strip()));
            } catch (IllegalArgumentException error) {
                throw new IllegalArgumentException("line " + (i + 1) + ": " + error.getMessage(), error);
            }
        }
        return readings;
    }
}
