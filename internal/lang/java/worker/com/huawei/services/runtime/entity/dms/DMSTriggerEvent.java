package com.huawei.services.runtime.entity.dms;

/** Messages of a queue. Fields are named as they stand in the event. */
public class DMSTriggerEvent {
    private String queue_id;
    private String region;
    private String event_type;
    private String consumer_group_id;
    private DMSMessage[] messages;

    public String getQueueId() {
        return queue_id;
    }

    public void setQueueId(String queueId) {
        this.queue_id = queueId;
    }

    public String getRegion() {
        return region;
    }

    public void setRegion(String region) {
        this.region = region;
    }

    public String getEventType() {
        return event_type;
    }

    public void setEventType(String eventType) {
        this.event_type = eventType;
    }

    public String getConsumerGroupId() {
        return consumer_group_id;
    }

    public void setConsumerGroupId(String consumerGroupId) {
        this.consumer_group_id = consumerGroupId;
    }

    public DMSMessage[] getMessages() {
        return messages;
    }

    public void setMessages(DMSMessage[] messages) {
        this.messages = messages;
    }

    @Override
    public String toString() {
        return "DMSTriggerEvent{" + "queue_id=" + queue_id
                + ", region=" + region
                + ", event_type=" + event_type
                + ", consumer_group_id=" + consumer_group_id
                + ", messages=" + java.util.Arrays.toString(messages) + "}";
    }
}
