package hanshu;

/** A text is not JSON, or it does not fit the type that the function takes, or a result has no form in JSON. */
final class JsonException extends RuntimeException {
    private static final long serialVersionUID = 1;

    JsonException(String message) {
        super(message);
    }
}
