package workshop;

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.List;
import java.util.Map;

/** Readings of devices 设备读数, and what the scheduled job makes of them. */
public final class Readings {
    static final int PAGE = 50;
    private final Database database;

    public record Reading(String device, long takenAt, BigDecimal amount, String unit) {
        public Reading {
            Checks.demand(!device.isBlank() && Checks.length(device) <= 64, "device: 1 to 64 characters / 设备名不合法");
            Checks.demand(Checks.length(unit) <= 16, "unit: at most 16 characters / 单位过长");
            Checks.demand(amount.scale() <= 6 && amount.precision() - amount.scale() <= 12,
                    "value: at most 12 digits and 6 decimals / 数值超出范围");
        }

        /** From texts as they come. Raises IllegalArgumentException, in words for the user. */
        static Reading of(String device, String takenAt, String value, String unit) {
            try {
                long at = Instant.parse(takenAt).toEpochMilli();
                return new Reading(device, at, new BigDecimal(value), unit);
            } catch (DateTimeParseException error) {
                throw new IllegalArgumentException("time: 2026-01-31T08:00:00Z is expected / 时间格式不正确", error);
            } catch (NumberFormatException error) {
                throw new IllegalArgumentException("value: a number is expected / 数值格式不正确", error);
            }
        }

        public String time() {
            return Instant.ofEpochMilli(takenAt).toString();
        }

        Map<String, Object> json() {
            return Map.of("device", device, "taken_at", time(), "value", amount, "unit", unit);
        }
    }

    public record Summary(String device, int readings, BigDecimal lowest, BigDecimal highest) {
        Map<String, Object> json() {
            return Map.of("device", device, "readings", readings, "lowest", lowest, "highest", highest);
        }
    }

    Readings(Database database) {
        this.database = database;
    }

    /** All or none: one transaction. A reading of the same device and time is replaced. */
    int store(List<Reading> readings) throws SQLException {
        return database.transaction(connection -> {
            for (Reading reading : readings) {
                int known = Database.update(connection,
                        "UPDATE device_reading SET amount = ?, unit = ? WHERE device = ? AND taken_at = ?",
                        reading.amount, reading.unit, reading.device, reading.takenAt);
                if (known == 0) {
                    insert(connection, reading);
                }
            }
            return readings.size();
        });
    }

    private static void insert(Connection connection, Reading reading) throws SQLException {
        // An update that changes nothing counts no row in some databases, so the row may be there.
        String known = "SELECT device FROM device_reading WHERE device = ? AND taken_at = ?";
        if (Database.query(connection, known, row -> row.getString(1), reading.device, reading.takenAt).isEmpty()) {
            Database.update(connection, "INSERT INTO device_reading (device, taken_at, amount, unit) VALUES (?, ?, ?, ?)",
                    reading.device, reading.takenAt, reading.amount, reading.unit);
        }
    }

    List<Reading> page(String device, int number, int size) throws SQLException {
        return database.query(
                "SELECT device, taken_at, amount, unit FROM device_reading WHERE device LIKE ? ESCAPE '!'"
                        + " ORDER BY taken_at DESC, device LIMIT ? OFFSET ?",
                Readings::read, Database.containing(device), size, number * PAGE);
    }

    List<Summary> summaries() throws SQLException {
        return database.query("SELECT device, readings, lowest, highest FROM device_summary ORDER BY device",
                row -> new Summary(row.getString(1), row.getInt(2), row.getBigDecimal(3), row.getBigDecimal(4)));
    }

    /** The scheduled job: one row a device, made anew. */
    void summarise() throws SQLException {
        database.transaction(connection -> {
            Database.update(connection, "DELETE FROM device_summary");
            return Database.update(connection,
                    "INSERT INTO device_summary (device, readings, lowest, highest, latest_at)"
                            + " SELECT device, COUNT(*), MIN(amount), MAX(amount), MAX(taken_at)"
                            + " FROM device_reading GROUP BY device");
        });
    }

    private static Reading read(ResultSet row) throws SQLException {
        return new Reading(row.getString(1), row.getLong(2), row.getBigDecimal(3), row.getString(4));
    }
}
