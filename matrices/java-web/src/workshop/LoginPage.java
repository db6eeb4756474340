package workshop;

import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.sql.SQLException;

/** Login and logout. */
public final class LoginPage extends Page {
    private static final long serialVersionUID = 1L;

    @Override
    void handle(HttpServletRequest request, HttpServletResponse response, boolean post)
            throws IOException, ServletException, SQLException {
        HttpSession session = request.getSession();
        if (!post) {
            session.setAttribute("csrf", Accounts.random());
        } else if (request.getParameter("logout") != null) {
            session.invalidate();
            response.sendRedirect(request.getContextPath() + "/login");
            return;
        } else {
            String name = Checks.given(request.getParameter("name"));
            String password = request.getParameter("password");
            if (password != null && shared("accounts", Accounts.class).fits(name, password)) {
                request.changeSessionId(); // the id from before the login is worth nothing any more
                session.setAttribute("user", name);
                session.setAttribute("csrf", Accounts.random());
                response.sendRedirect(request.getContextPath() + "/orders");
                return;
            }
            response.setStatus(401);
            request.setAttribute("wrong", Boolean.TRUE);
        }
        show("login.jsp", request, response);
    }
}
