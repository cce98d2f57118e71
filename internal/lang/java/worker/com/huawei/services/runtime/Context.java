package com.huawei.services.runtime;

/** What a handler gets beside the event (FunctionGraph reference 5.2). Keys and tokens are those of the function's agency, "" without one. */
public interface Context {
    String getRequestID();

    /** Until the deadline of this call; 0 behind it. */
    int getRemainingTimeInMilliSeconds();

    String getAccessKey();

    String getSecretKey();

    String getSecurityAccessKey();

    String getSecuritySecretKey();

    String getSecurityToken();

    String getToken();

    /** A variable of the function; null when it has none of that name. */
    String getUserData(String key);

    String getFunctionName();

    /** The timeout of the function: that is what FunctionGraph means by this name. */
    int getRunningTimeInSeconds();

    String getVersion();

    /** In MB. */
    int getMemorySize();

    /** In thousandths of a core. */
    int getCPUNumber();

    String getProjectID();

    String getPackage();

    String getAlias();

    String getWorkflowID();

    String getWorkflowRunID();

    String getWorkflowStateID();

    /** Which attempt at the state this is, from 1; 0 outside a workflow. */
    int getWorkflowAttempt();

    /** What setState kept in this instance. */
    Object getState();

    void setState(Object state);

    /** "": instances have no name here. */
    String getInstanceID();

    /** "": calls have no properties here. */
    String getInvokeProperty();

    /** The request id. */
    String getTraceID();

    /** The request id. */
    String getInvokeID();

    RuntimeLogger getLogger();
}
