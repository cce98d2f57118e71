package com.huawei.services.runtime.entity.kafka;

/** Messages of Kafka (FunctionGraph reference 4.2). Fields are named as they stand in the event. */
public class KafkaTriggerEvent {
    private String event_version;
    private long event_time;
    private String trigger_type;
    private String region;
    private String instance_id;
    private KafkaRecord[] records;

    public String getEventVersion() {
        return event_version;
    }

    public void setEventVersion(String eventVersion) {
        this.event_version = eventVersion;
    }

    public long getEventTime() {
        return event_time;
    }

    public void setEventTime(long eventTime) {
        this.event_time = eventTime;
    }

    public String getTriggerType() {
        return trigger_type;
    }

    public void setTriggerType(String triggerType) {
        this.trigger_type = triggerType;
    }

    public String getRegion() {
        return region;
    }

    public void setRegion(String region) {
        this.region = region;
    }

    public String getInstanceId() {
        return instance_id;
    }

    public void setInstanceId(String instanceId) {
        this.instance_id = instanceId;
    }

    public KafkaRecord[] getRecords() {
        return records;
    }

    public void setRecords(KafkaRecord[] records) {
        this.records = records;
    }

    @Override
    public String toString() {
        return "KafkaTriggerEvent{" + "event_version=" + event_version
                + ", event_time=" + event_time
                + ", trigger_type=" + trigger_type
                + ", region=" + region
                + ", instance_id=" + instance_id
                + ", records=" + java.util.Arrays.toString(records) + "}";
    }
}
