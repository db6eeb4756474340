package workshop;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import javax.naming.InitialContext;
import javax.naming.NamingException;
import javax.sql.DataSource;

/** The container's pool, and statements whose values are always parameters. SQL is what all databases share. */
final class Database {
    private final DataSource pool;

    Database(DataSource pool) {
        this.pool = pool;
    }

    interface Row<T> {
        T read(ResultSet result) throws SQLException;
    }

    interface Work<T> {
        T run(Connection connection) throws SQLException;
    }

    /** A value of the container's own configuration: java:comp/env/NAME. */
    static <T> T configured(String name, Class<T> type) {
        try {
            return type.cast(new InitialContext().lookup("java:comp/env/" + name));
        } catch (NamingException error) {
            throw new IllegalStateException("the container's configuration lacks " + name, error);
        }
    }

    <T> T transaction(Work<T> work) throws SQLException {
        try (Connection connection = pool.getConnection()) {
            connection.setAutoCommit(false);
            try {
                T result = work.run(connection);
                connection.commit();
                return result;
            } catch (SQLException | RuntimeException error) {
                connection.rollback();
                throw error;
            }
        }
    }

    <T> List<T> query(String sql, Row<T> row, Object... values) throws SQLException {
        return transaction(connection -> query(connection, sql, row, values));
    }

    int update(String sql, Object... values) throws SQLException {
        return transaction(connection -> update(connection, sql, values));
    }

    static <T> List<T> query(Connection connection, String sql, Row<T> row, Object... values) throws SQLException {
        try (PreparedStatement statement = prepared(connection, sql, values);
                ResultSet result = statement.executeQuery()) {
            List<T> rows = new ArrayList<>();
            while (result.next()) {
                rows.add(row.read(result));
            }
            return rows;
        }
    }

    static int update(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = prepared(connection, sql, values)) {
            return statement.executeUpdate();
        }
    }

    private static PreparedStatement prepared(Connection connection, String sql, Object... values) throws SQLException {
        PreparedStatement statement = connection.prepareStatement(sql);
        for (int i = 0; i < values.length; i++) {
            statement.setObject(i + 1, values[i]);
        }
        return statement;
    }

    /** A text to be searched for, with the signs that LIKE gives a meaning taken literally: ESCAPE '!'. */
    static String containing(String text) {
        return "%" + text.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%";
    }
}
