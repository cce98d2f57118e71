package com.huawei.services.runtime.entity.dis;

/** Records of a stream. Fields are named as they stand in the event. */
public class DISMessage {
    private String next_partition_cursor;
    private long millis_behind_latest;
    private DISRecord[] records;

    public String getNextPartitionCursor() {
        return next_partition_cursor;
    }

    public void setNextPartitionCursor(String nextPartitionCursor) {
        this.next_partition_cursor = nextPartitionCursor;
    }

    public long getMillisBehindLatest() {
        return millis_behind_latest;
    }

    public void setMillisBehindLatest(long millisBehindLatest) {
        this.millis_behind_latest = millisBehindLatest;
    }

    public DISRecord[] getRecords() {
        return records;
    }

    public void setRecords(DISRecord[] records) {
        this.records = records;
    }

    @Override
    public String toString() {
        return "DISMessage{" + "next_partition_cursor=" + next_partition_cursor
                + ", millis_behind_latest=" + millis_behind_latest
                + ", records=" + java.util.Arrays.toString(records) + "}";
    }
}
