package com.huawei.services.runtime.entity.dis;

/** Data of a stream (FunctionGraph reference 4.2). Fields are named as they stand in the event. */
public class DISTriggerEvent {
    private String ShardID;
    private DISMessage Message;
    private String Tag;
    private String StreamName;

    public String getShardID() {
        return ShardID;
    }

    public void setShardID(String shardID) {
        this.ShardID = shardID;
    }

    public DISMessage getMessage() {
        return Message;
    }

    public void setMessage(DISMessage message) {
        this.Message = message;
    }

    public String getTag() {
        return Tag;
    }

    public void setTag(String tag) {
        this.Tag = tag;
    }

    public String getStreamName() {
        return StreamName;
    }

    public void setStreamName(String streamName) {
        this.StreamName = streamName;
    }

    @Override
    public String toString() {
        return "DISTriggerEvent{" + "ShardID=" + ShardID
                + ", Message=" + Message
                + ", Tag=" + Tag
                + ", StreamName=" + StreamName + "}";
    }
}
