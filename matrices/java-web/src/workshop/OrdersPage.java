package workshop;

import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.sql.SQLException;
import java.util.List;
import workshop.Orders.Order;

/** The list of work orders with search and pages, its form, and its export. */
public final class OrdersPage extends Page {
    private static final long serialVersionUID = 1L;

    @Override
    void handle(HttpServletRequest request, HttpServletResponse response, boolean post)
            throws IOException, ServletException, SQLException {
        Orders orders = shared("orders", Orders.class);
        String text = Checks.given(request.getParameter("q"));
        if (post) {
            change(request, orders);
            response.sendRedirect(request.getContextPath() + "/orders");
        } else if (request.getParameter("export") != null) {
            export(response, orders, text);
        } else {
            int number = Checks.page(request.getParameter("page"));
            List<Order> found = orders.page(text, number);
            request.setAttribute("orders", found.subList(0, Math.min(found.size(), Orders.PAGE)));
            request.setAttribute("more", found.size() > Orders.PAGE);
            request.setAttribute("page", number);
            request.setAttribute("q", text);
            show("orders.jsp", request, response);
        }
    }

    private static void change(HttpServletRequest request, Orders orders) throws SQLException {
        String code = Checks.given(request.getParameter("code"));
        if (request.getParameter("remove") != null) {
            orders.remove(code);
            return;
        }
        Order order = new Order(code, Checks.given(request.getParameter("title")),
                Checks.given(request.getParameter("detail")), Checks.given(request.getParameter("state")),
                System.currentTimeMillis());
        if (!orders.change(order)) {
            orders.create(order);
        }
    }

    private static void export(HttpServletResponse response, Orders orders, String text) throws IOException, SQLException {
        response.setContentType("text/csv; charset=UTF-8");
        response.setHeader("Content-Disposition", "attachment; filename=\"orders.csv\"");
        var out = response.getWriter();
        out.write("\uFEFF" + Csv.row("编号", "标题", "内容", "状态")); // Excel knows UTF-8 by the mark
        List<Order> found;
        int number = 0;
        do {
            found = orders.page(text, number++);
            for (Order order : found.subList(0, Math.min(found.size(), Orders.PAGE))) {
                out.write(Csv.row(order.code(), order.title(), order.detail(), order.state()));
            }
        } while (found.size() > Orders.PAGE);
    }
}
