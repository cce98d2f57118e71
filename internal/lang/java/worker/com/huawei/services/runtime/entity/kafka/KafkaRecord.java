package com.huawei.services.runtime.entity.kafka;

/** Messages of one topic. Fields are named as they stand in the event. */
public class KafkaRecord {
    private String[] messages;
    private String topic_id;

    public String[] getMessages() {
        return messages;
    }

    public void setMessages(String[] messages) {
        this.messages = messages;
    }

    public String getTopicId() {
        return topic_id;
    }

    public void setTopicId(String topicId) {
        this.topic_id = topicId;
    }

    @Override
    public String toString() {
        return "KafkaRecord{" + "messages=" + java.util.Arrays.toString(messages)
                + ", topic_id=" + topic_id + "}";
    }
}
