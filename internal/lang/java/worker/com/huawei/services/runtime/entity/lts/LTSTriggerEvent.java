package com.huawei.services.runtime.entity.lts;

/** Log lines (FunctionGraph reference 4.2). Fields are named as they stand in the event. */
public class LTSTriggerEvent {
    private LTSBody lts;

    public LTSBody getLts() {
        return lts;
    }

    public void setLts(LTSBody lts) {
        this.lts = lts;
    }

    @Override
    public String toString() {
        return "LTSTriggerEvent{" + "lts=" + lts + "}";
    }
}
