package com.huawei.services.runtime;

/** Writes to the log of the function. What is below the level, INFO at first, is left out. */
public interface RuntimeLogger {
    /** Writes at level INFO. */
    void log(String message);

    void debug(String message);

    void info(String message);

    void warn(String message);

    void error(String message);

    /** DEBUG, INFO, WARN or ERROR, in any case. */
    void setLevel(String level);
}
