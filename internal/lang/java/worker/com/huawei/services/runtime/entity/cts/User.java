package com.huawei.services.runtime.entity.cts;

/** Who did it. Fields are named as they stand in the event. */
public class User {
    private String id;
    private String name;
    private Domain domain;

    public String getId() {
        return id;
    }

    public void setId(String id) {
        this.id = id;
    }

    public String getName() {
        return name;
    }

    public void setName(String name) {
        this.name = name;
    }

    public Domain getDomain() {
        return domain;
    }

    public void setDomain(Domain domain) {
        this.domain = domain;
    }

    @Override
    public String toString() {
        return "User{" + "id=" + id
                + ", name=" + name
                + ", domain=" + domain + "}";
    }
}
