package workshop;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import workshop.Orders.Order;
import workshop.Readings.Reading;

/** The REST interface: /api/orders, /api/orders/CODE, /api/readings, /api/summary, /api/health. */
public final class Api extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private static final int MOST = 1 << 20;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String path = request.getPathInfo() == null ? "" : request.getPathInfo();
        Orders orders = (Orders) getServletContext().getAttribute("orders");
        Readings readings = (Readings) getServletContext().getAttribute("readings");
        try {
            if (path.startsWith("/orders/")) {
                order(request, response, orders, path.substring("/orders/".length()));
                return;
            }
            switch (request.getMethod() + " " + path) {
                case "GET /health" -> health(response, orders);
                case "GET /orders" -> {
                    var found = orders.page(Checks.given(request.getParameter("q")), Checks.page(request.getParameter("page")));
                    answer(response, 200, found.stream().limit(Orders.PAGE).map(Order::json).toList());
                }
                case "POST /orders" -> {
                    Order order = orderOf(body(request), "");
                    boolean made = orders.create(order);
                    answer(response, made ? 201 : 409, made ? order.json() : Map.of("error", "there is one of this code"));
                }
                case "POST /readings" -> answer(response, 201, Map.of("stored", readings.store(readingsOf(request))));
                case "GET /readings" -> {
                    int page = Checks.page(request.getParameter("page"));
                    var found = readings.page(Checks.given(request.getParameter("device")), page, Readings.PAGE);
                    answer(response, 200, found.stream().map(Reading::json).toList());
                }
                case "GET /summary" ->
                    answer(response, 200, readings.summaries().stream().map(Readings.Summary::json).toList());
                default -> answer(response, 404, Map.of("error", "no such resource"));
            }
        } catch (IllegalArgumentException error) {
            answer(response, 400, Map.of("error", String.valueOf(error.getMessage())));
        } catch (SQLException error) {
            log("the database", error);
            answer(response, 503, Map.of("error", "the database does not answer"));
        }
    }

    private static void order(HttpServletRequest request, HttpServletResponse response, Orders orders, String code)
            throws IOException, SQLException {
        boolean known;
        switch (request.getMethod()) {
            case "GET" -> {
                var found = orders.find(code);
                known = found.isPresent();
                if (known) {
                    answer(response, 200, found.get().json());
                }
            }
            case "PUT" -> {
                Order order = orderOf(body(request), code);
                known = orders.change(order);
                if (known) {
                    answer(response, 200, order.json());
                }
            }
            case "DELETE" -> {
                known = orders.remove(code);
                if (known) {
                    response.setStatus(204);
                }
            }
            default -> throw new IllegalArgumentException("GET, PUT or DELETE is expected");
        }
        if (!known) {
            answer(response, 404, Map.of("error", "no such order"));
        }
    }

    private static void health(HttpServletResponse response, Orders orders) throws IOException, SQLException {
        orders.find("health");
        answer(response, 200, Map.of("status", "ok"));
    }

    private static Order orderOf(Object body, String code) {
        Map<?, ?> members = members(body);
        return new Order(code.isEmpty() ? text(members, "code", "") : code, text(members, "title", ""),
                text(members, "detail", ""), text(members, "state", "open"), System.currentTimeMillis());
    }

    private static List<Reading> readingsOf(HttpServletRequest request) throws IOException {
        List<Reading> readings = new ArrayList<>();
        Object body = body(request);
        for (Object item : body instanceof List<?> items ? items : List.of(body)) {
            Map<?, ?> members = members(item);
            readings.add(Reading.of(text(members, "device", ""), text(members, "taken_at", ""),
                    String.valueOf(members.get("value")), text(members, "unit", "")));
        }
        return readings;
    }

    private static Object body(HttpServletRequest request) throws IOException {
        byte[] bytes = request.getInputStream().readNBytes(MOST + 1);
        Checks.demand(bytes.length <= MOST, "the body is larger than 1 MiB");
        return Json.read(new String(bytes, StandardCharsets.UTF_8));
    }

    private static Map<?, ?> members(Object value) {
        Checks.demand(value instanceof Map<?, ?>, "an object is expected");
        return (Map<?, ?>) value;
    }

    private static String text(Map<?, ?> members, String name, String otherwise) {
        Object value = members.get(name);
        Checks.demand(value == null || value instanceof String, name + ": a text is expected");
        return value == null ? otherwise : (String) value;
    }

    static void answer(HttpServletResponse response, int status, Object value) throws IOException {
        response.setStatus(status);
        response.setContentType("application/json");
        response.getOutputStream().write(Json.write(value).getBytes(StandardCharsets.UTF_8));
    }
}
