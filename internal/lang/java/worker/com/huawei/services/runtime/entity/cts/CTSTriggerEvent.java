package com.huawei.services.runtime.entity.cts;

/** An entry of the audit log (FunctionGraph reference 4.2). Fields are named as they stand in the event. */
public class CTSTriggerEvent {
    private CTS cts;

    public CTS getCts() {
        return cts;
    }

    public void setCts(CTS cts) {
        this.cts = cts;
    }

    @Override
    public String toString() {
        return "CTSTriggerEvent{" + "cts=" + cts + "}";
    }
}
