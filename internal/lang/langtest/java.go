package langtest

import (
	_ "embed"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/test/need"
)

// compile is a program that compiles.
//
//go:embed testdata/Compile.java
var compile string

// index is an Index.java whose class has these members.
func index(members string) map[string]string {
	return map[string]string{"Index.java": "import com.huawei.services.runtime.*;\nimport java.util.*;\npublic class Index {\n" + members + "\n}\n"}
}

// javaCase is a case of Java's alone, with one class.
func javaCase(name, members string, check func(*testing.T, *Worker, Reply)) Case {
	return Case{Name: name, Sources: sources{"java": index(members)}, Check: check}
}

const javaEcho = "public Object handler(Object event, Context context) { return event; }\n"

// withJava gives the examples that all languages share their sources in Java.
func withJava(cases []Case) []Case {
	for i, c := range cases {
		if members, ok := javaSources()[c.Name]; ok && c.Sources["java"] == nil {
			cases[i].Sources["java"] = index(members)
		}
	}
	return cases
}

// javaSources are members of class Index by the names of the cases.
func javaSources() map[string]string {
	all := map[string]string{
		"peak memory":               "public Object handler(int event, Context context) { byte[] all = new byte[event << 20]; Arrays.fill(all, (byte) 1); return all.length; }",
		"no result":                 "public void handler(Object event, Context context) {}",
		"state stays between calls": "int n;\npublic int handler() { return ++n; }",
		"result that is not JSON": `public static Object handler(Map<String, Object> event) {
  List<Object> list = new ArrayList<>();
  switch ((String) event.get("python")) {
    case "b'x'": return new Date();
    case "{1, 2}": list.add(list); return list;
    case "math.nan": return Double.NaN;
    case "{'a': float('inf')}": return Collections.singletonMap("a", Float.POSITIVE_INFINITY);
    case "1": return 1;
    default: return new Thread();
  }
}`,
		"deadline": "public int handler(Context context) { return context.getRemainingTimeInMilliSeconds(); }",
		"context methods": `public Map<String, Object> handler(Object event, Context context) throws Exception {
  Map<String, Object> all = new HashMap<>();
  for (String name : ("getRequestID getAccessKey getSecretKey getSecurityAccessKey getSecuritySecretKey getSecurityToken "
      + "getFunctionName getRunningTimeInSeconds getVersion getMemorySize getCPUNumber getProjectID getPackage getToken "
      + "getAlias getWorkflowID getWorkflowRunID getWorkflowStateID").split(" ")) {
    all.put(name, Context.class.getMethod(name).invoke(context));
  }
  return all;
}`,
		"logger": `public void handler(Object event, Context context) {
  RuntimeLogger log = context.getLogger();
  log.debug("hidden");
  log.info("one\ntwo");
  log.warn("careful now");
  log.warn("100% sure");
  log.error("bad");
  log.log("plain");
  log.setLevel("DEBUG");
  log.debug("shown");
  log.setLevel("error");
  log.warn("hidden");
  log.error("last");
}`,
		"huge message": "static class TypeError extends RuntimeException { TypeError(String m) { super(m); } }\npublic void handler() { char[] all = new char[10000000]; Arrays.fill(all, 'x'); throw new TypeError(new String(all)); }",
		"odd things thrown": `static class Odd extends Throwable { public String getMessage() { throw new Error(); } }
static class Worse extends Exception { public synchronized Throwable getCause() { return this; } public StackTraceElement[] getStackTrace() { throw new Error(); } }
static class Surrogate extends RuntimeException { Surrogate() { super("\ud800"); } }
public int handler(int event) throws Throwable {
  if (event == 0) throw new Odd();
  if (event == 1) throw new Worse();
  if (event == 2) throw new Surrogate();
  if (event == 3) throw new Error(new Error("\n"));
  if (event == 4) throw new Error((String) null);
  return event;
}`,
		"missing handler": javaEcho, "missing initializer": javaEcho, "handler that is no function": "public static Object handler = 1;",
		"initializer":            "List<Object> seen = new ArrayList<>();\npublic void initializer(Context context) { seen.add(context.getFunctionName()); }\npublic Object handler() { return seen; }",
		"initializer that fails": javaEcho + "static class RangeError extends RuntimeException { RangeError(String m) { super(m); } }\npublic void initializer(Context context) { throw new RangeError(\"pepper\"); }",
		"what is printed comes before the answer, in order": `public void handler() {
  for (int i = 0; i < 100; i++) System.out.println("line " + i);
  System.out.println("世界");
  System.out.print("unfinished");
}`,
		"standard error": `public void handler() throws Exception {
  System.err.println("a");
  new ProcessBuilder("/bin/sh", "-c", "echo b >&2").inheritIO().start().waitFor();
  System.err.print("c");
}`,
		"what is printed at load":             "static { System.out.println(\"loading\"); }\n" + javaEcho,
		"what is printed before an exception": "public void handler() { System.out.print(\"a\"); throw new IllegalStateException(); }",
		"logger behind an unfinished line":    "public void handler(Context context) { System.out.print(\"open\"); context.getLogger().error(\"bad\"); }",
		"output replaced or closed": `public int handler(int event, Context context) throws Exception {
  if (event == 0) System.setOut(new java.io.PrintStream(new java.io.ByteArrayOutputStream()));
  if (event == 1) { System.err.close(); System.setErr(null); }
  if (event == 2) new java.io.FileOutputStream(java.io.FileDescriptor.out).close();
  context.getLogger().info("still here");
  System.out.println("x");
  return event;
}`,
		"exit in the handler":            "public void handler() { System.out.println(\"bye\"); System.exit(3); }",
		"threads and timers left behind": "public Object handler(Object event) { new Thread(() -> { synchronized (this) { try { wait(); } catch (InterruptedException e) {} } }).start(); return event; }",
		"children do not get the socket": "public String handler() throws Exception { return new Scanner(new ProcessBuilder(\"ls\", \"-l\", \"/proc/self/fd\").start().getInputStream()).useDelimiter(\"\\\\A\").next(); }",
		"killed":                         "public void handler() throws Exception { new ProcessBuilder(\"/bin/sh\", \"-c\", \"kill -9 $PPID\").start().waitFor(); }",
	}
	maps.Copy(all, javaSideSources())
	for _, name := range []string{
		"echo", "half of a surrogate pair", "unicode is sent as UTF-8", "6 MB both ways", "result over its limit", "small result over a small limit",
		"event that is not JSON", "large events side by side", "a pre-stop handler that is not there", "deep event", "missing module", "code root that is not there", "end of the stream", "frame of an unknown kind",
	} {
		all[name] = javaEcho
	}
	return all
}

// javaSideSources are those of the cases about hooks and calls side by side.
func javaSideSources() map[string]string {
	hooks := `volatile Object well = true;
public Object handler(Object event) { well = event; return event; }
public Object beat(Context context) { if ("throw".equals(well)) throw new IllegalStateException("beaten"); return well; }
public void stop(Context context) {
  System.out.println("bye " + (context.getRemainingTimeInMilliSeconds() <= 5000) + " " + context.getFunctionName());
  if ("throw".equals(well)) throw new IllegalStateException("stopped");
}`
	return map[string]string{
		"heartbeat and pre-stop": hooks, "heartbeat and pre-stop beside calls": hooks,
		"calls side by side": `static java.util.concurrent.CyclicBarrier together = new java.util.concurrent.CyclicBarrier(50);
public Object handler(long event, Context context) throws Exception {
  System.out.println("one " + event);
  together.await();
  context.getLogger().warn("two " + event);
  System.out.print("three " + event);
  return Arrays.asList(event, context.getRequestID());
}`,
		"failures side by side": `static class RangeError extends RuntimeException { RangeError(String m) { super(m); } }
public Object handler(int event) {
  if (event == 1) throw new RangeError("no " + event);
  if (event == 2) return new Thread();
  if (event == 3) { char[] all = new char[7 << 20]; Arrays.fill(all, 'x'); return new String(all); }
  return event;
}`,
	}
}

// javaHandler writes a handler such as index.handler as Java has it.
func javaHandler(l *lang.Load) {
	l.Handler = strings.Replace(l.Handler, "index.", "Index.", 1)
	l.InitHandler = strings.Replace(l.InitHandler, "index.", "Index.", 1)
	l.StopHandler = strings.Replace(l.StopHandler, "index.", "Index.", 1)
	l.BeatHandler = strings.Replace(l.BeatHandler, "index.", "Index.", 1)
}

// CompileJava compiles the sources in each of folders into that folder, against the API in the folder that Bootstrap gave. One
// process does all, since the start of a compiler takes longer than what it does here.
func CompileJava(t testing.TB, bootstrap string, folders ...string) {
	t.Helper()
	java, err := exec.LookPath("javac")
	if err != nil {
		need.Skip(t, "there is no Java compiler here; install default-jdk-headless")
	}
	java, err = filepath.EvalSymlinks(java)
	require.NoError(t, err)
	program := filepath.Join(Write(t, map[string]string{"Compile.java": compile}), "Compile.java")
	args := append([]string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", program, filepath.Join(bootstrap, "worker.jar")}, folders...)
	out, err := exec.Command(filepath.Join(filepath.Dir(java), "java"), args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
