package workshop;

import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** Work orders 工单. */
public final class Orders {
    static final int PAGE = 20;
    static final Set<String> STATES = Set.of("open", "running", "closed");
    private static final Pattern CODE = Pattern.compile("[A-Za-z0-9._-]{1,64}");
    private static final String COLUMNS = "SELECT code, title, detail, state, changed_at FROM work_order ";
    private final Database database;

    public record Order(String code, String title, String detail, String state, long changedAt) {
        /** Raises IllegalArgumentException, in words for the user, where a value is not fit to be stored. */
        public Order {
            Checks.demand(CODE.matcher(code).matches(), "code: 1 to 64 letters, digits, . _ - / 编号不合法");
            Checks.demand(!title.isBlank() && Checks.length(title) <= 200, "title: 1 to 200 characters / 标题长度不合法");
            Checks.demand(Checks.length(detail) <= 4000, "detail: at most 4000 characters / 内容过长");
            Checks.demand(STATES.contains(state), "state: open, running or closed / 状态不合法");
        }

        Map<String, Object> json() {
            return Map.of("code", code, "title", title, "detail", detail, "state", state, "changed_at", changedAt);
        }
    }

    Orders(Database database) {
        this.database = database;
    }

    Optional<Order> find(String code) throws SQLException {
        return database.query(COLUMNS + "WHERE code = ?", Orders::read, code).stream().findFirst();
    }

    /** Page {@code number}, from 0, of the orders that contain a text, newest first, and one more if another follows. */
    List<Order> page(String text, int number) throws SQLException {
        String like = Database.containing(text);
        return database.query(
                COLUMNS + "WHERE code LIKE ? ESCAPE '!' OR title LIKE ? ESCAPE '!' OR detail LIKE ? ESCAPE '!'"
                        + " ORDER BY changed_at DESC, code LIMIT ? OFFSET ?",
                Orders::read, like, like, like, PAGE + 1, number * PAGE);
    }

    /** False where there is one of this code already. */
    boolean create(Order order) throws SQLException {
        return database.transaction(connection -> {
            String known = "SELECT code FROM work_order WHERE code = ?";
            if (!Database.query(connection, known, row -> row.getString(1), order.code).isEmpty()) {
                return false;
            }
            Database.update(connection,
                    "INSERT INTO work_order (code, title, detail, state, changed_at) VALUES (?, ?, ?, ?, ?)",
                    order.code, order.title, order.detail, order.state, order.changedAt);
            return true;
        });
    }

    boolean change(Order order) throws SQLException {
        return database.update("UPDATE work_order SET title = ?, detail = ?, state = ?, changed_at = ? WHERE code = ?",
                order.title, order.detail, order.state, order.changedAt, order.code) > 0;
    }

    boolean remove(String code) throws SQLException {
        return database.update("DELETE FROM work_order WHERE code = ?", code) > 0;
    }

    private static Order read(ResultSet row) throws SQLException {
        return new Order(row.getString(1), row.getString(2), row.getString(3), row.getString(4), row.getLong(5));
    }
}
