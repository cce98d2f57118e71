package com.huawei.services.runtime.entity.timer;

/** A timer went off (FunctionGraph reference 4.2). Fields are named as they stand in the event. */
public class TimerTriggerEvent {
    private String version;
    private String time;
    private String trigger_type;
    private String trigger_name;
    private String user_event;

    public String getVersion() {
        return version;
    }

    public void setVersion(String version) {
        this.version = version;
    }

    public String getTime() {
        return time;
    }

    public void setTime(String time) {
        this.time = time;
    }

    public String getTriggerType() {
        return trigger_type;
    }

    public void setTriggerType(String triggerType) {
        this.trigger_type = triggerType;
    }

    public String getTriggerName() {
        return trigger_name;
    }

    public void setTriggerName(String triggerName) {
        this.trigger_name = triggerName;
    }

    public String getUserEvent() {
        return user_event;
    }

    public void setUserEvent(String userEvent) {
        this.user_event = userEvent;
    }

    @Override
    public String toString() {
        return "TimerTriggerEvent{" + "version=" + version
                + ", time=" + time
                + ", trigger_type=" + trigger_type
                + ", trigger_name=" + trigger_name
                + ", user_event=" + user_event + "}";
    }
}
