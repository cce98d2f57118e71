package com.huawei.services.runtime.entity.apig;

import java.util.Map;

/** A request that came through the gateway (FunctionGraph reference 4.2). Fields are named as they stand in the event. */
public class APIGTriggerEvent {
    private boolean isBase64Encoded;
    private String httpMethod;
    private String path;
    private String body;
    private Map<String, String> pathParameters;
    private APIGRequestContext requestContext;
    private Map<String, String> headers;
    private Map<String, Object> queryStringParameters;
    private String user_data;

    public boolean isBase64Encoded() {
        return isBase64Encoded;
    }

    public void setBase64Encoded(boolean encoded) {
        this.isBase64Encoded = encoded;
    }

    public String getHttpMethod() {
        return httpMethod;
    }

    public void setHttpMethod(String httpMethod) {
        this.httpMethod = httpMethod;
    }

    public String getPath() {
        return path;
    }

    public void setPath(String path) {
        this.path = path;
    }

    public String getBody() {
        return body;
    }

    public void setBody(String body) {
        this.body = body;
    }

    public Map<String, String> getPathParameters() {
        return pathParameters;
    }

    public void setPathParameters(Map<String, String> pathParameters) {
        this.pathParameters = pathParameters;
    }

    public APIGRequestContext getRequestContext() {
        return requestContext;
    }

    public void setRequestContext(APIGRequestContext requestContext) {
        this.requestContext = requestContext;
    }

    public Map<String, String> getHeaders() {
        return headers;
    }

    public void setHeaders(Map<String, String> headers) {
        this.headers = headers;
    }

    public Map<String, Object> getQueryStringParameters() {
        return queryStringParameters;
    }

    public void setQueryStringParameters(Map<String, Object> queryStringParameters) {
        this.queryStringParameters = queryStringParameters;
    }

    public String getUserData() {
        return user_data;
    }

    public void setUserData(String userData) {
        this.user_data = userData;
    }

    /** The body with its Base64 taken off, where it has one. */
    public String getRawBody() throws java.io.UnsupportedEncodingException {
        return body == null || !isBase64Encoded ? body : new String(java.util.Base64.getMimeDecoder().decode(body), "UTF-8");
    }

    @Override
    public String toString() {
        return "APIGTriggerEvent{" + "isBase64Encoded=" + isBase64Encoded
                + ", httpMethod=" + httpMethod
                + ", path=" + path
                + ", body=" + body
                + ", pathParameters=" + pathParameters
                + ", requestContext=" + requestContext
                + ", headers=" + headers
                + ", queryStringParameters=" + queryStringParameters
                + ", user_data=" + user_data + "}";
    }
}
