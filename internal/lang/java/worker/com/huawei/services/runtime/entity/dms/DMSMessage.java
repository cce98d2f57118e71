package com.huawei.services.runtime.entity.dms;

import java.util.Map;

/** One of the messages. Fields are named as they stand in the event. */
public class DMSMessage {
    private String body;
    private Map<String, Object> attributes;

    public String getBody() {
        return body;
    }

    public void setBody(String body) {
        this.body = body;
    }

    public Map<String, Object> getAttributes() {
        return attributes;
    }

    public void setAttributes(Map<String, Object> attributes) {
        this.attributes = attributes;
    }

    @Override
    public String toString() {
        return "DMSMessage{" + "body=" + body
                + ", attributes=" + attributes + "}";
    }
}
