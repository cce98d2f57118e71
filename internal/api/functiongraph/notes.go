package functiongraph

// notes says of operations what they do here, where that is more, less or other than what the vendor documents. An operation that is
// not named works as documented. docs/COMPATIBILITY.md is generated from it (make docs), so a pipe has no place here.
func notes() map[string]string {
	const async = "a config is for the calls through one version or alias; what nobody set is 1 retry and 3,600 s. Retries 0 to 8, age 1 to 86,400 s. `log_group_*` and `log_stream_*` are ignored: there is one status log"
	const listed = "the youngest first, the last hour where no time is named, `limit` up to 500; `marker` and `next_marker` count rows, and `next_marker` is 0 behind the last page. `count` is that of the page; `error_code` is a number, and absent where nothing failed. DISCARD is a call that grew too old or was cancelled"
	const statistics = "`period` up to 43,200 minutes, by minute up to a day and by hour beyond; -1 where nothing was measured. A URN without a version means all of them, and one with an alias the calls that came through it. A call counts where it ended; `concurrency_num` is the mean of calls under way. `instance_num` and `reserved_instance_num` are known of now only, -1 before"
	const triggers = "the types below; every type can be switched off, and a change takes effect before it is answered"
	const statusLog = "once enabled, each change of a call's state is a line of the server's own log, for functions whose config says `enable_async_status_log`; the names are empty before"
	const events = "up to 10 of a function and 256 KB each, for all its versions"
	const templates = "the templates that are built in: Python, Node.js, PHP, Java, Go, Custom, http; `code` is base64. The code of Java and Go must be compiled first, `temp_detail.warning` says how"
	const applications = "an application is a function of a template with its triggers. `params` set the template's variables, and `package`; `stack_resources` is left out, as clients disagree on its form, and `func_urn` tells what was made"
	return map[string]string{
		"CreateFunction":                       "`tags` is JSON in a text, an object or a list of `key` and `value`",
		"DeleteFunction":                       "with `:<version>` or `:!<alias>` it removes that version, the alias that leads to it, and the triggers of both, as the vendor's guide says; waiting calls are cancelled. 403 FSS.1094 for the second version of an alias, 400 FSS.1015 for `latest`",
		"CreateFunctionVersion":                "a version without a name is called by the time in UTC. `digest` may be the SHA-512 or the MD5 of the code; with other code the answer is 428 FSS.0428. Publishing without a change is allowed (FSS.1016 is never answered). What is published does not change: writes to it answer 400 FSS.1015",
		"CreateVersionAlias":                   "one additional version by weight (0 to 100) or by rules on headers and cookies; `latest` may be the main version and not the additional one. A version is the main one of one alias (409 FSS.1066)",
		"UpdateVersionAlias":                   "replaces all but a description that is left out; its answer and the list show the strategy too",
		"DeleteVersionAlias":                   "403 FSS.1154 for an alias with triggers",
		"ListQuotas":                           "the quotas that hold here: functions, code, instances of one function, reserved instances, idle time",
		"UpdateFunctionReservedInstancesCount": "for versions and aliases, whose instances follow them, and with `tactics_config`: a schedule's latest occurrence says how many instances are kept, until it expires; `Concurrency` keeps their use under the threshold, held for a minute. Cron as for TIMER. `idle_mode` true lets reserved instances be frozen between calls",
		"ListReservedInstanceConfigs":          "as above",
		"ShowFuncReservedInstanceMetrics":      "the numbers of now, as one point",
		"UpdateFuncSnapshot":                   "for every runtime and version: one instance that has loaded and initialised waits for the first call, frozen where the host can",
		"ShowFuncSnapshotState":                "`state` enable or disable; `code` ready or preparing",
		"InvokeFunction":                       "answers `v0` and `v1`, `X-Cff-Log-Type: tail`, and `X-Cff-Instance-Memory` for a function with `enable_dynamic_memory` (refused otherwise)",
		"AsyncInvokeFunction":                  "202 after fsync; the event has at most 256 KB; `X-Cff-Instance-Memory` as above",
		"ListAsyncInvocations":                 listed,
		"ListActiveAsyncInvocations":           "as ListAsyncInvocations",
		"CancelAsyncInvocation":                "one that waits never runs. Without `type` one under way goes to its end and is not tried again; `recursive` reaches also the calls that its record caused; `force` ends its instance, and with it other calls in that instance",
		"UpdateFunctionAsyncInvokeConfig":      async,
		"ShowFunctionAsyncInvokeConfig":        "as above",
		"DeleteFunctionAsyncInvokeConfig":      "as above",
		"ListFunctionAsyncInvokeConfig":        "as above",
		"EnableAsyncStatusLog":                 statusLog,
		"ShowProjectAsyncStatusLogInfo":        "as EnableAsyncStatusLog",
		"ListFunctionStatistics":               statistics,
		"ShowFunctionMetrics":                  "as ListFunctionStatistics",
		"ListStatistics":                       "`monitor_data` gives the project's statistics of `period` minutes (60); `monthly_report` gives calls and GB-seconds by day (UTC), paged by `limit` (100) and `marker`; there are no GPUs, so `gpu_gbs` is 0",
		"ListFunctionAsMetric":                 "`failcount`, the only type documented; times are seconds since 1970, at most 31 days apart, the last day where none is given; `limit` 10",
		"ShowLtsLogDetails":                    "names of the log that this server keeps; it is always on, and is read by `hanshu logs` and `hanshu runs`. Names that `log_config` sets stand in their place",
		"EnableLtsLogs":                        "as ShowLtsLogDetails",
		"CreateFunctionTrigger":                triggers + ". `event_type_code` is taken in and has no effect",
		"UpdateTrigger":                        "as CreateFunctionTrigger",
		"CreateEvent":                          events,
		"CreateTags":                           "up to 20 of a function; a key that is there gets the new value. `functions` is the only resource type",
		"DeleteTags":                           "by key; one that is not there is passed over",
		"ShowResInstanceInfo":                  "`matches` by `resource_name` (part of it) and by tags, `tags` as Terraform sends them, `without_any_tag`",
		"ListFunctionTemplate":                 templates,
		"ShowFunctionTemplate":                 "as above",
		"ListAppTemplates":                     "those templates whose code needs no compiler",
		"ShowAppTemplate":                      "as above",
		"CreateFunctionApp":                    applications,
		"ListFunctionApplications":             "`status` is success, or abnormal when the function is gone",
		"ShowFunctionApp":                      "as above",
		"DeleteFunctionApp":                    "removes the function and its triggers too",
		"CreateDependencyVersion":              "see [Dependencies](#dependencies)",
		"ExportFunction":                       "see [Export and import](#export-and-import)",
		"ImportFunction":                       "as above",
		"CreateDependency":                     "of the older interface",
		"ShowDependency":                       "of the older interface",
		"UpdateDependency":                     "of the older interface: adds a version",
		"DeleteDependency":                     "of the older interface",
		"DownloadDependencyVersion":            "our own: where `download_link`, and `link` of a zip, lead to; with credentials",
		"ListLogStream":                        "the log service's: the stream of EnableAsyncStatusLog, for Terraform's resource of it; the log service has nothing else here",
		"ListServiceTrustedAgencies":           "for Terraform's data source: the agencies of the domain",
		"ListTriggers":                         "for Terraform's data sources",
		"ListRuntimeTypes":                     "for Terraform's data source: those that are served here",
		"ListTriggerTypes":                     "for Terraform's data sources",
	}
}

// Noted names the operations with a note, in no order.
func Noted() []string {
	var names []string
	for name := range notes() {
		names = append(names, name)
	}
	return names
}
