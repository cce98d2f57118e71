package langtest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// renewed are credentials that take the place of those of Example.
var renewed = lang.Credentials{AccessKey: "access-2", SecretKey: "secret-2", SecurityToken: "security-2", AuthToken: "token-2"}

func contextCases() []Case {
	// All methods of FunctionGraph reference 5.2 but those that have cases of their own.
	const names = "'getRequestID getAccessKey getSecretKey getSecurityAccessKey getSecuritySecretKey getSecurityToken " +
		"getFunctionName getRunningTimeInSeconds getVersion getMemorySize getCPUNumber getProjectID getPackage getToken " +
		"getAlias getWorkflowID getWorkflowRunID getWorkflowStateID'"
	const want = `{"getRequestID":"id-7","getAccessKey":"access-1","getSecretKey":"secret-1",` +
		`"getSecurityAccessKey":"access-1","getSecuritySecretKey":"secret-1","getSecurityToken":"security-1",` +
		`"getFunctionName":"example","getRunningTimeInSeconds":30,"getVersion":"latest","getMemorySize":128,` +
		`"getCPUNumber":300,"getProjectID":"project-1","getPackage":"default","getToken":"token-1",`
	return []Case{
		{
			Name: "context methods", Sources: source(
				"def handler(event, context):\n    return {n: getattr(context, n)() for n in "+names+".split()}\n",
				"exports.handler = async (event, context) => Object.fromEntries("+names+".split(' ').map((n) => [n, context[n]()]));\n").php("<?php\nfunction handler($event, $context) { foreach (explode(' ', " + names + ") as $n) { $all[$n] = $context->$n(); } return $all; }\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				in := time.Now().Add(time.Minute)
				extra := lang.CallExtra{Alias: "prodé", WorkflowID: "w1", WorkflowRunID: "r1", WorkflowStateID: "s1"}
				result(t, w.CallWith(`{}`, in, "id-7", extra),
					want+`"getAlias":"prodé","getWorkflowID":"w1","getWorkflowRunID":"r1","getWorkflowStateID":"s1"}`)
				result(t, w.CallWith(`{}`, in, "id-7", lang.CallExtra{}),
					want+`"getAlias":"","getWorkflowID":"","getWorkflowRunID":"","getWorkflowStateID":""}`)
				fresh := strings.NewReplacer("access-1", "access-2", "secret-1", "secret-2", "security-1", "security-2", "token-1", "token-2").Replace(want)
				for _, extra := range []lang.CallExtra{{Credentials: &renewed}, {}} { // they hold from then on
					result(t, w.CallWith(`{}`, in, "id-7", extra), fresh+`"getAlias":"","getWorkflowID":"","getWorkflowRunID":"","getWorkflowStateID":""}`)
				}
			},
		},
		{
			Name: "context attributes", Sources: source(`
def handler(event, context):
    names = "request_id project_id package function_name version memory_size cpu_number timeout token alias user_data"
    return [getattr(context, n) for n in names.split()]
`, ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `["request-1","project-1","default","example","latest",128,300,30,"token-1","",{"colour":"blue","empty":""}]`)
			},
		},
		{
			Name: "user data", Sources: source(
				"def handler(event, context):\n    return [context.getUserData('colour'), context.getUserData('empty'), context.getUserData('none'), context.getUserData('none', 'x')]\n",
				"exports.handler = async (e, context) => [context.getUserData('colour'), context.getUserData('empty'), context.getUserData('toString'), context.getUserData('none', 'x')];\n").php(`<?php
function handler($event, $context) { return [$context->getUserData("colour"), $context->getUserData("empty"), $context->getUserData("none"), $context->getUserData("none", "x")]; }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `["blue","",null,"x"]`)
			},
		},
		{
			Name: "no user data", Sources: source(
				"def handler(event, context):\n    return context.getUserData('a', 'x')\n",
				"exports.handler = async (e, context) => context.getUserData('a', 'x');\n").php(`<?php
function handler($event, $context) { return $context->getUserData("a", "x"); }
`),
			Load: func(l *lang.Load) { l.UserData, l.Env = nil, nil },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `"x"`)
			},
		},
		{
			Name: "logger", Sources: source(`
def handler(event, context):
    log = context.getLogger()
    log.debug("hidden")
    log.info("one\ntwo")
    log.warn("careful %s", "now")
    log.warning("100% sure")
    log.error("bad")
    log.log("plain")
    log.setLevel("DEBUG")
    log.debug("shown")
    log.setLevel("ERROR")
    log.warn("hidden")
    log.error("last")
`, `
exports.handler = async (event, context) => {
  const log = context.getLogger();
  log.debug('hidden');
  log.info('one\ntwo');
  log.warn('careful %s', 'now');
  log.warning('100% sure');
  log.error('bad');
  log.log('plain');
  log.setLevel('DEBUG');
  log.debug('shown');
  log.setLevel('error');
  log.warn('hidden');
  log.error('last');
};
`).php(`<?php
function handler($event, $context) {
  $log = $context->getLogger();
  $log->debug("hidden");
  $log->info("one\ntwo");
  $log->warn("careful %s", "now");
  $log->warning("100% sure");
  $log->error("bad");
  $log->log("plain");
  $log->setLevel("DEBUG");
  $log->debug("shown");
  $log->setLevel("error");
  $log->warn("hidden");
  $log->error("last");
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `null`)
				require.Equal(t, []faas.LogLine{
					{Level: faas.LevelInfo, Text: "one\ntwo"},
					{Level: faas.LevelWarn, Text: "careful now"},
					{Level: faas.LevelWarn, Text: "100% sure"},
					{Level: faas.LevelError, Text: "bad"},
					{Level: faas.LevelInfo, Text: "plain"},
					{Level: faas.LevelDebug, Text: "shown"},
					{Level: faas.LevelError, Text: "last"},
				}, logLines(w.Output()))
			},
		},
	}
}

func logLines(output []string) []faas.LogLine {
	var lines []faas.LogLine
	for _, line := range output {
		lines = lang.AppendLogLines(lines, time.Time{}, line)
	}
	return lines
}
