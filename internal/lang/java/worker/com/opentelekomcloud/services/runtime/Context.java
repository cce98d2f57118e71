package com.opentelekomcloud.services.runtime;

/** The same as FunctionGraph's own, under the name that another provider of it gives. */
public interface Context extends com.huawei.services.runtime.Context {
    @Override
    RuntimeLogger getLogger();
}
