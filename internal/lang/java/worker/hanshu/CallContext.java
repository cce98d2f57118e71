package hanshu;

import java.util.Map;

/** What a handler gets beside the event, under the names of all providers. */
public final class CallContext implements com.services.runtime.Context, com.opentelekomcloud.services.runtime.Context {
    private final Load load;
    private final String requestId;
    private final long deadline; // Unix milliseconds
    private final Map<String, Object> extra;

    CallContext(Load load, String requestId, long deadline, Map<String, Object> extra) {
        this.load = load;
        this.requestId = requestId;
        this.deadline = deadline;
        this.extra = extra;
    }

    @Override
    public String getRequestID() {
        return requestId;
    }

    @Override
    public int getRemainingTimeInMilliSeconds() {
        return (int) Math.max(0, Math.min(Integer.MAX_VALUE, deadline - System.currentTimeMillis()));
    }

    @Override
    public String getAccessKey() {
        return load.text("access_key");
    }

    @Override
    public String getSecretKey() {
        return load.text("secret_key");
    }

    @Override
    public String getSecurityAccessKey() {
        return load.text("access_key");
    }

    @Override
    public String getSecuritySecretKey() {
        return load.text("secret_key");
    }

    @Override
    public String getSecurityToken() {
        return load.text("security_token");
    }

    @Override
    public String getToken() {
        return load.text("auth_token");
    }

    @Override
    public String getUserData(String key) {
        return load.map("user_data").get(key);
    }

    @Override
    public String getFunctionName() {
        return load.text("function");
    }

    @Override
    public int getRunningTimeInSeconds() {
        return load.number("timeout_s");
    }

    @Override
    public String getVersion() {
        return load.text("version");
    }

    @Override
    public int getMemorySize() {
        return load.number("memory_mb");
    }

    @Override
    public int getCPUNumber() {
        return load.number("cpu_millis");
    }

    @Override
    public String getProjectID() {
        return load.text("project_id");
    }

    @Override
    public String getPackage() {
        return load.text("package");
    }

    @Override
    public String getAlias() {
        return extra("alias");
    }

    @Override
    public String getWorkflowID() {
        return extra("workflow_id");
    }

    @Override
    public String getWorkflowRunID() {
        return extra("workflow_run_id");
    }

    @Override
    public String getWorkflowStateID() {
        return extra("workflow_state_id");
    }

    @Override
    public int getWorkflowAttempt() {
        Object value = extra.get("workflow_attempt");
        return value == null ? 0 : ((Number) value).intValue();
    }

    private String extra(String name) {
        Object value = extra.get(name);
        return value == null ? "" : (String) value;
    }

    @Override
    public Object getState() {
        return load.state;
    }

    @Override
    public void setState(Object state) {
        load.state = state;
    }

    @Override
    public String getInstanceID() {
        return "";
    }

    @Override
    public String getInvokeProperty() {
        return "";
    }

    @Override
    public String getTraceID() {
        return requestId;
    }

    @Override
    public String getInvokeID() {
        return requestId;
    }

    @Override
    public Logger getLogger() {
        return load.logger;
    }
}
