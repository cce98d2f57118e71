package com.opentelekomcloud.services.runtime;

/** The same as FunctionGraph's own, under the name that another provider of it gives. */
public interface RuntimeLogger extends com.huawei.services.runtime.RuntimeLogger {
}
