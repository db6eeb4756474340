import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import javax.naming.InitialContext;
import javax.naming.NamingException;
import javax.sql.DataSource;

/** Keeps notes in a database, by a pool of the container: an example, in place of which your product goes. */
@WebServlet({"/health", "/notes/*"})
public final class Notes extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private transient DataSource pool;
    private String token;

    @Override
    public void init() throws ServletException {
        try {
            InitialContext names = new InitialContext();
            pool = (DataSource) names.lookup("java:comp/env/jdbc/notes");
            token = (String) names.lookup("java:comp/env/token");
        } catch (NamingException missing) {
            throw new ServletException(missing);
        }
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
        response.setContentType("text/plain; charset=utf-8");
        if (request.getServletPath().equals("/health")) {
            response.getWriter().print("good\n");
            return;
        }
        String path = String.valueOf(request.getPathInfo());
        if (!token.equals(request.getHeader("X-Token"))) {
            response.setStatus(401);
        } else if (!path.matches("/[A-Za-z0-9-]{1,64}")) {
            response.setStatus(404);
        } else {
            String text = new String(request.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            try (Connection connection = pool.getConnection()) {
                note(connection, request.getMethod(), path.substring(1), text, response);
            } catch (SQLException trouble) {
                throw new ServletException(trouble);
            }
        }
    }

    private static void note(Connection connection, String method, String key, String text, HttpServletResponse response)
            throws SQLException, IOException {
        switch (method) {
            case "PUT" -> {
                boolean known = change(connection, "UPDATE notes SET body = ? WHERE name = ?", text, key) > 0;
                if (!known) {
                    change(connection, "INSERT INTO notes (body, name) VALUES (?, ?)", text, key);
                }
                response.setStatus(known ? 200 : 201);
            }
            case "DELETE" -> response.setStatus(change(connection, "DELETE FROM notes WHERE name = ?", key) > 0 ? 204 : 404);
            case "GET" -> {
                try (PreparedStatement query = connection.prepareStatement("SELECT body FROM notes WHERE name = ?")) {
                    query.setString(1, key);
                    try (ResultSet rows = query.executeQuery()) {
                        boolean known = rows.next();
                        response.setStatus(known ? 200 : 404);
                        response.getWriter().print(known ? rows.getString(1) : "no such note");
                    }
                }
            }
            default -> response.setStatus(405);
        }
    }

    private static int change(Connection connection, String sql, String... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int index = 0; index < values.length; index++) {
                statement.setString(index + 1, values[index]);
            }
            return statement.executeUpdate();
        }
    }
}
