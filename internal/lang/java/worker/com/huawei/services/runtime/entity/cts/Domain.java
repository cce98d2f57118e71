package com.huawei.services.runtime.entity.cts;

/** The domain of a user. Fields are named as they stand in the event. */
public class Domain {
    private String id;
    private String name;

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

    @Override
    public String toString() {
        return "Domain{" + "id=" + id
                + ", name=" + name + "}";
    }
}
