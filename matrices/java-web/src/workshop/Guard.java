package workshop;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;

/** Who may do what: pages need a session and, to change anything, its token; the API needs its own. */
public final class Guard extends HttpFilter {
    private static final long serialVersionUID = 1L;
    private transient String token;

    @Override
    public void init() {
        token = Database.configured("apiToken", String.class);
    }

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        request.setCharacterEncoding("UTF-8");
        response.setHeader("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; form-action 'self'");
        response.setHeader("X-Content-Type-Options", "nosniff");
        response.setHeader("Referrer-Policy", "same-origin");
        response.setHeader("Cache-Control", "no-store");
        String path = request.getServletPath();
        HttpSession session = request.getSession(false);
        if (path.equals("/api")) {
            if (!"/health".equals(request.getPathInfo()) && !Accounts.same("Bearer " + token, header(request))) {
                Api.answer(response, 401, java.util.Map.of("error", "a valid token is needed"));
                return;
            }
        } else if (!path.equals("/style.css")) {
            if (!path.equals("/login") && (session == null || session.getAttribute("user") == null)) {
                response.sendRedirect(request.getContextPath() + "/login");
                return;
            }
            if (request.getMethod().equals("POST") && !ofThisSession(request, session)) {
                response.sendError(403, "the form is not of this session / 表单已失效");
                return;
            }
        }
        chain.doFilter(request, response);
    }

    private static boolean ofThisSession(HttpServletRequest request, HttpSession session) {
        Object expected = session == null ? null : session.getAttribute("csrf");
        return expected != null && Accounts.same(expected.toString(), Checks.given(request.getParameter("csrf")));
    }

    private static String header(HttpServletRequest request) {
        String header = request.getHeader("Authorization");
        return header == null ? "" : header;
    }
}
