package hanshu;

import java.util.Arrays;
import java.util.Locale;

/** context.getLogger(), under the names of all providers. */
public final class Logger implements com.services.runtime.RuntimeLogger, com.opentelekomcloud.services.runtime.RuntimeLogger {
    private static final String LEVELS = "DIWE";
    private final Output output;
    private volatile int lowest = 1;

    Logger(Output output) {
        this.output = output;
    }

    @Override
    public void setLevel(String level) {
        int i = Arrays.asList("DEBUG", "INFO", "WARN", "ERROR", "WARNING").indexOf(String.valueOf(level).toUpperCase(Locale.ROOT));
        if (i < 0) {
            throw new IllegalArgumentException("level " + level + " is none of DEBUG, INFO, WARN, ERROR");
        }
        lowest = i == 4 ? 2 : i;
    }

    @Override
    public void log(String message) {
        write(1, message);
    }

    @Override
    public void debug(String message) {
        write(0, message);
    }

    @Override
    public void info(String message) {
        write(1, message);
    }

    @Override
    public void warn(String message) {
        write(2, message);
    }

    @Override
    public void error(String message) {
        write(3, message);
    }

    private void write(int level, String message) {
        if (level >= lowest) {
            output.log(LEVELS.charAt(level), String.valueOf(message));
        }
    }
}
