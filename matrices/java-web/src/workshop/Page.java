package workshop;

import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.sql.SQLException;

/** A page: what its servlets share. */
abstract class Page extends HttpServlet {
    private static final long serialVersionUID = 1L;

    /** Shows a page, or with {@code post} does what its form asks for. */
    abstract void handle(HttpServletRequest request, HttpServletResponse response, boolean post)
            throws IOException, ServletException, SQLException;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException, ServletException {
        guarded(request, response, false);
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException, ServletException {
        guarded(request, response, true);
    }

    private void guarded(HttpServletRequest request, HttpServletResponse response, boolean post)
            throws IOException, ServletException {
        try {
            handle(request, response, post);
        } catch (IllegalArgumentException error) {
            response.sendError(400, error.getMessage());
        } catch (SQLException error) {
            log("the database", error);
            response.sendError(503, "the database does not answer / 数据库暂不可用");
        }
    }

    static void show(String jsp, HttpServletRequest request, HttpServletResponse response)
            throws IOException, ServletException {
        request.getRequestDispatcher("/WEB-INF/jsp/" + jsp).forward(request, response);
    }

    <T> T shared(String name, Class<T> type) {
        return type.cast(getServletContext().getAttribute(name));
    }
}
