package com.huawei.services.runtime.entity.cts;

/** What was done. Fields are named as they stand in the event. */
public class CTS {
    private Object time;
    private User user;
    private Object request;
    private Object response;
    private int code;
    private String service_type;
    private String resource_type;
    private String resource_name;
    private String resource_id;
    private String trace_name;
    private String trace_type;
    private Object record_time;
    private String trace_id;
    private String trace_status;

    public Object getTime() {
        return time;
    }

    public void setTime(Object time) {
        this.time = time;
    }

    public User getUser() {
        return user;
    }

    public void setUser(User user) {
        this.user = user;
    }

    public Object getRequest() {
        return request;
    }

    public void setRequest(Object request) {
        this.request = request;
    }

    public Object getResponse() {
        return response;
    }

    public void setResponse(Object response) {
        this.response = response;
    }

    public int getCode() {
        return code;
    }

    public void setCode(int code) {
        this.code = code;
    }

    public String getServiceType() {
        return service_type;
    }

    public void setServiceType(String serviceType) {
        this.service_type = serviceType;
    }

    public String getResourceType() {
        return resource_type;
    }

    public void setResourceType(String resourceType) {
        this.resource_type = resourceType;
    }

    public String getResourceName() {
        return resource_name;
    }

    public void setResourceName(String resourceName) {
        this.resource_name = resourceName;
    }

    public String getResourceId() {
        return resource_id;
    }

    public void setResourceId(String resourceId) {
        this.resource_id = resourceId;
    }

    public String getTraceName() {
        return trace_name;
    }

    public void setTraceName(String traceName) {
        this.trace_name = traceName;
    }

    public String getTraceType() {
        return trace_type;
    }

    public void setTraceType(String traceType) {
        this.trace_type = traceType;
    }

    public Object getRecordTime() {
        return record_time;
    }

    public void setRecordTime(Object recordTime) {
        this.record_time = recordTime;
    }

    public String getTraceId() {
        return trace_id;
    }

    public void setTraceId(String traceId) {
        this.trace_id = traceId;
    }

    public String getTraceStatus() {
        return trace_status;
    }

    public void setTraceStatus(String traceStatus) {
        this.trace_status = traceStatus;
    }

    @Override
    public String toString() {
        return "CTS{" + "time=" + time
                + ", user=" + user
                + ", request=" + request
                + ", response=" + response
                + ", code=" + code
                + ", service_type=" + service_type
                + ", resource_type=" + resource_type
                + ", resource_name=" + resource_name
                + ", resource_id=" + resource_id
                + ", trace_name=" + trace_name
                + ", trace_type=" + trace_type
                + ", record_time=" + record_time
                + ", trace_id=" + trace_id
                + ", trace_status=" + trace_status + "}";
    }
}
