package workshop;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;

/** Brings the tables to the newest version, step by step; what was done stands in schema_version. */
final class Migrations {
    private static final List<String> STEPS = List.of("001-orders.sql", "002-readings.sql", "003-states.sql");

    private Migrations() {}

    /** Runs what is missing. Where a step fails half way (MariaDB commits each CREATE) a person has to look. */
    static int run(Database database) throws SQLException, IOException {
        int done = database.transaction(Migrations::version);
        for (int step = done; step < STEPS.size(); step++) {
            String name = STEPS.get(step);
            int version = step + 1;
            String script = script(name);
            database.transaction(connection -> {
                for (String sql : script.split(";\\s*\n")) {
                    if (!sql.isBlank()) {
                        Database.update(connection, sql);
                    }
                }
                String note = "INSERT INTO schema_version (version, name, done_at) VALUES (?, ?, ?)";
                return Database.update(connection, note, version, name, System.currentTimeMillis());
            });
        }
        return STEPS.size();
    }

    private static int version(Connection connection) throws SQLException {
        try (var tables = connection.getMetaData().getTables(connection.getCatalog(), null, "%", null)) {
            while (tables.next()) {
                if (tables.getString("TABLE_NAME").equalsIgnoreCase("schema_version")) {
                    String newest = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
                    return Database.query(connection, newest, row -> row.getInt(1)).get(0);
                }
            }
        }
        return Database.update(connection, "CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY,"
                + " name VARCHAR(64) NOT NULL, done_at BIGINT NOT NULL)");
    }

    private static String script(String name) throws IOException {
        try (InputStream file = Migrations.class.getResourceAsStream("sql/" + name)) {
            if (file == null) {
                throw new IOException("the application lacks its migration " + name);
            }
            return new String(file.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
