package com.huawei.services.runtime.entity.apig;

import java.io.UnsupportedEncodingException;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/** What the gateway is to answer (FunctionGraph reference 4.2). Fields are named as they stand in the result. */
public class APIGTriggerResponse {
    private int statusCode;
    private Map<String, String> headers;
    private String body;
    private boolean isBase64Encoded;

    /** An empty answer with status 200. */
    public APIGTriggerResponse() {
        this(200, null, "");
    }

    public APIGTriggerResponse(int statusCode, Map<String, String> headers, String body) {
        this(statusCode, headers, false, body);
    }

    public APIGTriggerResponse(int statusCode, Map<String, String> headers, boolean isBase64Encoded, String body) {
        this.statusCode = statusCode;
        this.headers = headers;
        this.isBase64Encoded = isBase64Encoded;
        this.body = body;
    }

    public int getStatusCode() {
        return statusCode;
    }

    public void setStatusCode(int statusCode) {
        this.statusCode = statusCode;
    }

    public Map<String, String> getHeaders() {
        return headers;
    }

    public void setHeaders(Map<String, String> headers) {
        this.headers = headers;
    }

    public void addHeader(String key, String value) {
        if (headers == null) {
            headers = new HashMap<>();
        }
        headers.put(key, value);
    }

    public void addHeaders(Map<String, String> more) {
        for (Map.Entry<String, String> entry : more.entrySet()) {
            addHeader(entry.getKey(), entry.getValue());
        }
    }

    public void removeHeader(String key) {
        if (headers != null) {
            headers.remove(key);
        }
    }

    public String getBody() {
        return body;
    }

    public void setBody(String body) {
        this.body = body;
    }

    public boolean isBase64Encoded() {
        return isBase64Encoded;
    }

    public void setBase64Encoded(boolean encoded) {
        isBase64Encoded = encoded;
    }

    /** Puts the text in as Base64, and says so to the gateway. */
    public void setBase64EncodedBody(String text) throws UnsupportedEncodingException {
        body = Base64.getEncoder().encodeToString(text.getBytes("UTF-8"));
        isBase64Encoded = true;
    }

    @Override
    public String toString() {
        return "APIGTriggerResponse{statusCode=" + statusCode + ", headers=" + headers + ", body=" + body
                + ", isBase64Encoded=" + isBase64Encoded + "}";
    }
}
