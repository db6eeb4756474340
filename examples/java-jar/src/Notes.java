import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.concurrent.Executors;

/** A small HTTP server that keeps notes in files: an example, in place of which your product goes. */
public final class Notes {
    private static final String VERSION = "1.0";
    private static final Path FOLDER = Path.of(System.getenv().getOrDefault("NOTES_FOLDER", "."));
    private static final String TOKEN = System.getenv().getOrDefault("NOTES_TOKEN", "");

    private Notes() { }

    public static void main(String[] words) throws IOException {
        if (words.length == 1 && words[0].equals("--version")) {
            System.out.println("notes " + VERSION);
            return;
        }
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(words[0])), 64);
        server.createContext("/", Notes::serve);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
        System.out.println("notes: port " + words[0] + ", notes in " + FOLDER);
    }

    private static void serve(HttpExchange exchange) throws IOException {
        byte[] text = new byte[0];
        int status;
        try {
            String path = exchange.getRequestURI().getPath();
            byte[] body = exchange.getRequestBody().readAllBytes();
            if (path.equals("/health")) {
                status = 200;
                text = "good\n".getBytes(StandardCharsets.UTF_8);
            } else if (!TOKEN.equals(exchange.getRequestHeaders().getFirst("X-Token"))) {
                status = 401;
            } else if (!path.matches("/notes/[A-Za-z0-9-]{1,64}")) {
                status = 404;
            } else {
                Path name = FOLDER.resolve(path.substring("/notes/".length()));
                switch (exchange.getRequestMethod()) {
                    case "PUT" -> status = store(name, body);
                    case "GET" -> {
                        text = Files.readAllBytes(name);
                        status = 200;
                    }
                    case "DELETE" -> {
                        Files.delete(name);
                        status = 204;
                    }
                    default -> status = 405;
                }
            }
        } catch (NoSuchFileException missing) {
            status = 404;
        } catch (IOException trouble) {
            trouble.printStackTrace();
            status = 500;
        }
        exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
        exchange.sendResponseHeaders(status, text.length == 0 ? -1 : text.length);
        if (text.length > 0) {
            exchange.getResponseBody().write(text);
        }
        exchange.close();
    }

    /** Writes a note; what is acknowledged is on the disk. */
    private static int store(Path name, byte[] text) throws IOException {
        int status = Files.exists(name) ? 200 : 201;
        Path part = Files.createTempFile(FOLDER, ".part", "");
        try (FileOutputStream file = new FileOutputStream(part.toFile())) {
            file.write(text);
            file.getFD().sync();
        }
        Files.move(part, name, StandardCopyOption.ATOMIC_MOVE);
        return status;
    }
}
