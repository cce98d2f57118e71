package hanshu;

/** The class or the method that a handler names is not there, or cannot be called. */
final class HandlerNotFound extends Exception {
    private static final long serialVersionUID = 1;

    HandlerNotFound(String message) {
        super(message);
    }
}
