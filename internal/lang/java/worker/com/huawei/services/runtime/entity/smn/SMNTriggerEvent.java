package com.huawei.services.runtime.entity.smn;

/** Notifications (FunctionGraph reference 4.2). Fields are named as they stand in the event. */
public class SMNTriggerEvent {
    private SMNRecord[] record;
    private String functionname;
    private String requestId;
    private String timestamp;

    public SMNRecord[] getRecord() {
        return record;
    }

    public void setRecord(SMNRecord[] record) {
        this.record = record;
    }

    public String getFunctionname() {
        return functionname;
    }

    public void setFunctionname(String functionname) {
        this.functionname = functionname;
    }

    public String getRequestId() {
        return requestId;
    }

    public void setRequestId(String requestId) {
        this.requestId = requestId;
    }

    public String getTimestamp() {
        return timestamp;
    }

    public void setTimestamp(String timestamp) {
        this.timestamp = timestamp;
    }

    @Override
    public String toString() {
        return "SMNTriggerEvent{" + "record=" + java.util.Arrays.toString(record)
                + ", functionname=" + functionname
                + ", requestId=" + requestId
                + ", timestamp=" + timestamp + "}";
    }
}
