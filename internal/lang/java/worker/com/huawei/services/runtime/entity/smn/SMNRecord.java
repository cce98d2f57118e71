package com.huawei.services.runtime.entity.smn;

/** One of the notifications. Fields are named as they stand in the event. */
public class SMNRecord {
    private String event_version;
    private SMNBody smn;
    private String event_subscription_urn;
    private String event_source;

    public String getEventVersion() {
        return event_version;
    }

    public void setEventVersion(String eventVersion) {
        this.event_version = eventVersion;
    }

    public SMNBody getSmn() {
        return smn;
    }

    public void setSmn(SMNBody smn) {
        this.smn = smn;
    }

    public String getEventSubscriptionUrn() {
        return event_subscription_urn;
    }

    public void setEventSubscriptionUrn(String eventSubscriptionUrn) {
        this.event_subscription_urn = eventSubscriptionUrn;
    }

    public String getEventSource() {
        return event_source;
    }

    public void setEventSource(String eventSource) {
        this.event_source = eventSource;
    }

    @Override
    public String toString() {
        return "SMNRecord{" + "event_version=" + event_version
                + ", smn=" + smn
                + ", event_subscription_urn=" + event_subscription_urn
                + ", event_source=" + event_source + "}";
    }
}
