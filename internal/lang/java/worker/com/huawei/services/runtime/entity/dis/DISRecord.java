package com.huawei.services.runtime.entity.dis;

/** One of the records. Fields are named as they stand in the event. */
public class DISRecord {
    private String partition_key;
    private String data;
    private String sequence_number;
    private long timestamp;
    private String timestamp_type;

    public String getPartitionKey() {
        return partition_key;
    }

    public void setPartitionKey(String partitionKey) {
        this.partition_key = partitionKey;
    }

    public String getData() {
        return data;
    }

    public void setData(String data) {
        this.data = data;
    }

    public String getSequenceNumber() {
        return sequence_number;
    }

    public void setSequenceNumber(String sequenceNumber) {
        this.sequence_number = sequenceNumber;
    }

    public long getTimestamp() {
        return timestamp;
    }

    public void setTimestamp(long timestamp) {
        this.timestamp = timestamp;
    }

    public String getTimestampType() {
        return timestamp_type;
    }

    public void setTimestampType(String timestampType) {
        this.timestamp_type = timestampType;
    }

    /** The record with its Base64 taken off. */
    public String getRawData() throws java.io.UnsupportedEncodingException {
        return data == null ? null : new String(java.util.Base64.getMimeDecoder().decode(data), "UTF-8");
    }

    @Override
    public String toString() {
        return "DISRecord{" + "partition_key=" + partition_key
                + ", data=" + data
                + ", sequence_number=" + sequence_number
                + ", timestamp=" + timestamp
                + ", timestamp_type=" + timestamp_type + "}";
    }
}
