package workshop;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.sql.SQLException;
import java.util.HexFormat;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;

/** Accounts, whose passwords are kept as salted PBKDF2 hashes, each with its own number of iterations. */
final class Accounts {
    private static final SecureRandom RANDOM = new SecureRandom();
    private static final String NOBODY = "00".repeat(16);
    private final Database database;
    private final int iterations;

    private record Stored(String salt, String hash, int iterations) {}

    Accounts(Database database, int iterations) {
        this.database = database;
        this.iterations = iterations;
    }

    static String random() {
        byte[] bytes = new byte[24];
        RANDOM.nextBytes(bytes);
        return HexFormat.of().formatHex(bytes);
    }

    /** Equal, in a time that does not tell where they differ. */
    static boolean same(String one, String other) {
        return MessageDigest.isEqual(one.getBytes(java.nio.charset.StandardCharsets.UTF_8),
                other.getBytes(java.nio.charset.StandardCharsets.UTF_8));
    }

    /** Gives an account this password, made anew where there is none. */
    void set(String name, String password) throws SQLException {
        String salt = random();
        String hash = hash(password, salt, iterations);
        database.transaction(connection -> {
            Database.update(connection, "DELETE FROM account WHERE name = ?", name);
            return Database.update(connection, "INSERT INTO account (name, salt, hash, iterations) VALUES (?, ?, ?, ?)",
                    name, salt, hash, iterations);
        });
    }

    /** Whether the password is right; an unknown name takes as long. */
    boolean fits(String name, String password) throws SQLException {
        Stored stored = database.query("SELECT salt, hash, iterations FROM account WHERE name = ?",
                row -> new Stored(row.getString(1), row.getString(2), row.getInt(3)), name)
                .stream().findFirst().orElse(new Stored(NOBODY, "", iterations));
        return same(hash(password, stored.salt, stored.iterations), stored.hash);
    }

    private static String hash(String password, String salt, int iterations) {
        try {
            var key = new PBEKeySpec(password.toCharArray(), HexFormat.of().parseHex(salt), iterations, 256);
            var factory = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256");
            return HexFormat.of().formatHex(factory.generateSecret(key).getEncoded());
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }
}
