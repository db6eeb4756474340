package workshop;

import jakarta.servlet.ServletContext;
import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import java.io.IOException;
import java.sql.SQLException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import javax.sql.DataSource;

/** Migrates the database, makes the administrator's account and runs the scheduled job, as long as the application lives. */
public final class Startup implements ServletContextListener {
    private static final Logger LOG = Logger.getLogger("workshop");
    private final ScheduledExecutorService jobs = Executors.newSingleThreadScheduledExecutor();

    @Override
    public void contextInitialized(ServletContextEvent event) {
        ServletContext context = event.getServletContext();
        Database database = new Database(Database.configured("jdbc/workshop", DataSource.class));
        Accounts accounts = new Accounts(database, Database.configured("passwordIterations", Integer.class));
        Readings readings = new Readings(database);
        try {
            int version = Migrations.run(database);
            accounts.set("admin", Database.configured("adminPassword", String.class));
            LOG.info("tables are of version " + version);
        } catch (SQLException | IOException error) {
            throw new IllegalStateException("the database cannot be prepared", error); // the container refuses to serve
        }
        context.setAttribute("accounts", accounts);
        context.setAttribute("orders", new Orders(database));
        context.setAttribute("readings", readings);
        int seconds = Database.configured("jobSeconds", Integer.class);
        jobs.scheduleWithFixedDelay(() -> summarise(readings), seconds, seconds, TimeUnit.SECONDS);
    }

    private static void summarise(Readings readings) {
        try {
            readings.summarise();
        } catch (SQLException | RuntimeException error) { // one that is thrown would end the schedule
            LOG.log(Level.WARNING, "the summary failed; it is tried again", error);
        }
    }

    @Override
    public void contextDestroyed(ServletContextEvent event) {
        jobs.shutdownNow();
    }
}
