package com.huawei.services.runtime.entity.lts;

/** Log lines. Fields are named as they stand in the event. */
public class LTSBody {
    private String data;

    public String getData() {
        return data;
    }

    public void setData(String data) {
        this.data = data;
    }

    /** The lines with its Base64 taken off. */
    public String getRawData() throws java.io.UnsupportedEncodingException {
        return data == null ? null : new String(java.util.Base64.getMimeDecoder().decode(data), "UTF-8");
    }

    @Override
    public String toString() {
        return "LTSBody{" + "data=" + data + "}";
    }
}
