package langtest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// calls is a check that events give results, in turn.
func calls(pairs ...string) func(*testing.T, *Worker, Reply) {
	return func(t *testing.T, w *Worker, l Reply) {
		loaded(t, l)
		for i := 0; i < len(pairs); i += 2 {
			result(t, w.Call(pairs[i]), pairs[i+1])
		}
	}
}

// unloadable is a check that the load fails with a message.
func unloadable(types, message string) func(*testing.T, *Worker, Reply) {
	return func(t *testing.T, w *Worker, l Reply) { failed(t, l, lang.FailLoad, types, message) }
}

// thrown is a check that calls fail with an exception.
func thrown(types string, pairs ...string) func(*testing.T, *Worker, Reply) {
	return func(t *testing.T, w *Worker, l Reply) {
		loaded(t, l)
		for i := 0; i < len(pairs); i += 2 {
			failed(t, w.Call(pairs[i]), lang.FailException, types, pairs[i+1])
		}
	}
}

func javaCases() []Case { return concat(javaTypes(), javaHandlers(), javaLives()) }

// javaTypes are about what events become and what becomes of results.
func javaTypes() []Case {
	return []Case{
		javaCase("object of the function's own, with others inside", `
enum Size { SMALL, LARGE }
static class Base { private String id; }
static class Item extends Base { String name; int n = 7; Size size; private transient String hidden = "x"; static int counted; }
static class Order extends Base { private List<Item> items; Map<String, Item> byName; Item[] array; int[] numbers; Double weight; boolean paid; long big; char c; Object any; Item none; }
public Order handler(Order event, Context context) { return event; }`, calls(
			`{"id":"o","items":[{"id":"i","name":"a","n":1,"size":"LARGE","hidden":"y"}],"byName":{"b":{"size":"HUGE"}},"array":[{}],"numbers":[1,2],"weight":1.5,"paid":true,"big":9007199254740993,"c":"ä","any":{"x":[1]},"unknown":1}`,
			`{"id":"o","items":[{"id":"i","name":"a","n":1,"size":"LARGE"}],"byName":{"b":{"id":null,"name":null,"n":7,"size":null}},"array":[{"id":null,"name":null,"n":7,"size":null}],"numbers":[1,2],"weight":1.5,"paid":true,"big":9007199254740993,"c":"ä","any":{"x":[1]},"none":null}`,
			`null`, `null`)),
		javaCase("list with its type", "static class P { int x; }\npublic int handler(List<P> event) { int all = 0; for (P p : event) all += p.x; return all; }", calls(`[{"x":1},{"x":41}]`, `42`, `[]`, `0`)),
		javaCase("map with its types", "public Object handler(Map<Integer, Set<String>> event) { return new TreeMap<>(event).firstEntry().getValue().size() + event.keySet().iterator().next(); }", calls(`{"5":["a","a","b"]}`, `7`)),
		javaCase("class with a type variable", "static class Box<T> { T value; List<T> more; }\nstatic class P { int x; }\npublic int handler(Box<P> event) { return event.value.x + event.more.get(0).x; }", calls(`{"value":{"x":1},"more":[{"x":2}]}`, `3`)),
		javaCase("inner class that is not static", "public class In { int x = 5; }\npublic int handler(In event) { return event.x; }", calls(`{"x":3}`, `3`)),
		javaCase("text of the event", "public String handler(String event) { return event; }", calls(`{"a": "ä"}`, `"{\"a\": \"ä\"}"`, `"b"`, `"\"b\""`)),
		javaCase("numbers", "public Object handler(Map<String, Object> event) { return event.get(\"n\").getClass().getSimpleName() + \" \" + event.get(\"n\"); }", calls(
			`{"n":1}`, `"Long 1"`, `{"n":-1.50}`, `"Double -1.5"`, `{"n":123456789012345678901}`, `"BigInteger 123456789012345678901"`, `{"n":1e999}`, `"BigDecimal 1E+999"`)),
		javaCase("results of Java's types", `
static class Money { private java.math.BigDecimal amount = new java.math.BigDecimal("1.10"); Optional<String> note = Optional.of("n"); }
public Object handler() {
  Map<Object, Object> all = new LinkedHashMap<>();
  all.put(1, new int[] {1, 2}); all.put("u", new UUID(0, 1)); all.put("m", new Money()); all.put("s", new TreeSet<>(Arrays.asList("b", "a")));
  all.put("t", java.time.LocalDate.of(2024, 2, 29)); all.put("c", 'c'); all.put("e", Thread.State.NEW); all.put("q", "\u2028\"\t");
  return all;
}`, calls(`{}`, `{"1":[1,2],"u":"00000000-0000-0000-0000-000000000001","m":{"amount":1.10,"note":"n"},"s":["a","b"],"t":"2024-02-29","c":"c","e":"NEW","q":"\u2028\"\t"}`)),
		javaCase("event that does not fit", "static class P { int x; Date when; P p; Runnable r; }\npublic Object handler(P event) { return null; }", thrown("JsonException",
			`[]`, "a list does not fit Index$P", `{"x":1.5}`, "x: the number 1.5 does not fit int", `{"x":"a"}`, "x: a text", `{"p":{"x":99999999999}}`, "p: x: the number",
			`{"when":"2024"}`, "when: an event cannot be made into a java.util.Date", `{"r":{}}`, "r: an event cannot be made into a java.lang.Runnable")),
		javaCase("constructor that fails", "static class P { P() { throw new IllegalStateException(\"no\"); } }\npublic Object handler(P event) { return null; }", thrown("IllegalStateException", `{}`, "no")),
		{
			Name: "record", Sources: sources{"java": {"release17": "", "Index.java": "public class Index { public record P(int x, String name, java.util.List<P> more) {} public P handler(P event) { return event; } }\n"}},
			Check: calls(`{"x":1,"more":[{"name":"n"}]}`, `{"x":1,"name":null,"more":[{"x":0,"name":"n","more":null}]}`),
		},
		javaCase("events of triggers", `
public Object smn(com.huawei.services.runtime.entity.smn.SMNTriggerEvent event) { return event.getRecord()[0].getSmn().getTopicUrn() + event.getRecord()[0].getEventSource(); }
public com.huawei.services.runtime.entity.apig.APIGTriggerResponse handler(com.huawei.services.runtime.entity.apig.APIGTriggerEvent event, Context context) throws Exception {
  Map<String, String> headers = new HashMap<>(event.getHeaders());
  return new com.huawei.services.runtime.entity.apig.APIGTriggerResponse(201, headers, event.getRawBody() + event.getRequestContext().getStage() + event.getQueryStringParameters().get("q") + event.getUserData());
}`, calls(
			`{"body":"aGk=","requestContext":{"stage":"S"},"queryStringParameters":{"q":"1"},"httpMethod":"GET","headers":{"a":"b"},"path":"/","isBase64Encoded":true,"user_data":"u"}`,
			`{"statusCode":201,"headers":{"a":"b"},"body":"hiS1u","isBase64Encoded":false}`)),
		javaCase("streams", "public void handler(java.io.InputStream in, java.io.OutputStream out, Context context) throws Exception { for (int c; (c = in.read()) >= 0;) out.write(c); }", calls(`{"a":1}`, `{"a":1}`)),
		javaCase("text in a stream", "public void handler(java.io.InputStream in, java.io.OutputStream out) throws Exception { out.write(\"hi\".getBytes()); }", calls(`{}`, `"hi"`)),
		{
			Name: "Gson of the package", Sources: sources{"java": {
				"com/google/gson/GsonBuilder.java": "package com.google.gson;\npublic class GsonBuilder { public GsonBuilder serializeNulls() { return this; } public GsonBuilder disableHtmlEscaping() { return this; } public Gson create() { return new Gson(); } }\n",
				"com/google/gson/Gson.java":        "package com.google.gson;\npublic class Gson { public Object fromJson(String text, java.lang.reflect.Type type) { return new JsonObject(text + type.getTypeName()); } public String toJson(Object o) { return ((JsonObject) o).text; } }\n",
				"com/google/gson/JsonObject.java":  "package com.google.gson;\npublic class JsonObject { String text; public JsonObject(String text) { this.text = text; } public String text() { return text; } }\n",
				"Index.java":                       "import com.google.gson.*;\npublic class Index { public java.util.List<Object> handler(JsonObject event) { return java.util.Arrays.asList(event.text(), new JsonObject(\"{}\")); } }\n",
			}},
			Check: calls(`{"a":1}`, `["{\"a\":1}com.google.gson.JsonObject",{}]`),
		},
	}
}

// javaHandlers are about finding and calling methods.
func javaHandlers() []Case {
	return []Case{
		{
			Name: "class in a package, with a jar's layout", Sources: sources{"java": {
				"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n", "com/example/config.txt": "found",
				"com/example/Hello.java": "package com.example;\nimport com.huawei.services.runtime.Context;\npublic class Hello { public static class In { public String handle(Object event, Context context) { return new java.util.Scanner(Hello.class.getResourceAsStream(\"config.txt\")).next() + Thread.currentThread().getContextClassLoader().getResource(\"com/example/config.txt\").getProtocol(); } } }\n",
			}},
			Load:  func(l *lang.Load) { l.Handler = "com.example.Hello$In.handle" },
			Check: calls(`{}`, `"foundfile"`),
		},
		javaCase("static method", "static int made; public Index() { made++; }\npublic static int handler(Object event, Context context) { return made; }", calls(`{}`, `0`)),
		javaCase("method of a parent", "public static class A<T> { public T handler(T event, Context context) { return event; } }\npublic static class B extends A<Map<String, Object>> { public Map<String, Object> handler(Map<String, Object> event, Context context) { event.put(\"b\", 1); return event; } }\npublic Object handler(Object event) { return new B().handler(new HashMap<>(), null); }", calls(`{}`, `{"b":1}`)),
		{
			Name: "interface with a type variable", Sources: sources{"java": index("public interface H<I, O> { O handler(I event, Context context); }\npublic static class My implements H<List<String>, Integer> { public Integer handler(List<String> event, Context context) { return event.size(); } }")},
			Load: func(l *lang.Load) { l.Handler = "Index$My.handler" }, Check: calls(`["a"]`, `1`),
		},
		javaCase("of several methods the one with a context", "public int handler() { return 0; }\npublic int handler(Object e) { return 1; }\npublic int handler(Object e, Context c) { return 2; }\npublic int handler(Object a, Object b, Object c, Object d) { return 4; }", calls(`{}`, `2`)),
		javaCase("several methods alike", "public int handler(Object e, Context c) { return 1; }\npublic int handler(String e, Context c) { return 2; }", unloadable("HandlerNotFound", "several methods handler fit")),
		javaCase("method with other parameters", "public int handler(String a, String b, String c) { return 1; }", unloadable("HandlerNotFound", "public int Index.handler(java.lang.String,java.lang.String,java.lang.String)")),
		javaCase("method that is not public", "int handler(Object e) { return 1; }\npublic void other() {}", unloadable("HandlerNotFound", "class Index has no public method handler; it has other")),
		javaCase("no constructor without parameters", "public Index(int n) {}\npublic int handler(Object e) { return 1; }", unloadable("HandlerNotFound", "class Index has no constructor without parameters")),
		javaCase("constructor of the handler's class fails", "public Index() { throw new IllegalStateException(\"at load\"); }\npublic int handler(Object e) { return 1; }", func(t *testing.T, w *Worker, l Reply) {
			failed(t, l, lang.FailLoad, "IllegalStateException", "at load")
			require.Contains(t, strings.Join(l.Failure.Stack, "\n"), "Index.<init>(Index.java:4)")
			require.Len(t, l.Failure.Stack, 2)
		}),
		javaCase("class that fails", "static int n = 1 / Integer.parseInt(\"0\");\npublic static int handler(Object e) { return 1; }", unloadable("ArithmeticException", "by zero")),
		javaCase("initializer with another parameter", javaEcho, nil).with(func(l *lang.Load) { l.InitHandler = "Index.handler" }, unloadable("HandlerNotFound", "as the initializer")),
		javaCase("handler of another provider's name", "public String handler(Object event, com.services.runtime.Context context) { com.services.runtime.RuntimeLogger log = context.getLogger(); log.warn(\"w\"); return context.getFunctionName(); }\npublic String otc(Object event, com.opentelekomcloud.services.runtime.Context context) { context.getLogger().log(\"x\"); return \"\"; }", func(t *testing.T, w *Worker, l Reply) {
			calls(`{}`, `"example"`)(t, w, l)
			require.Equal(t, []faas.LogLine{{Level: faas.LevelWarn, Text: "w"}}, logLines(w.Output()))
		}),
		javaCase("attempt of a workflow", "public int handler(Context context) { return context.getWorkflowAttempt(); }", func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			result(t, w.CallWith(`{}`, time.Now().Add(time.Minute), "id", lang.CallExtra{WorkflowID: "w", WorkflowAttempt: 3}), `3`)
			result(t, w.Call(`{}`), `0`)
		}),
		javaCase("user data and environment", "static String early = System.getenv(\"colour\");\npublic Object handler(Object event, Context context) throws Exception { return Arrays.asList(context.getUserData(\"colour\"), context.getUserData(\"none\"), early, System.getenv().get(\"RUNTIME_FUNC_NAME\"), new ProcessBuilder(\"x\").environment().get(\"colour\")); }",
			calls(`{}`, `["blue",null,"blue","example","blue"]`)),
		javaCase("worker is not seen", "public Object handler() { List<Object> all = new ArrayList<>(); for (String n : new String[] {\"hanshu.Worker\", \"warm.Hello\", \"com.huawei.services.runtime.Context\", \"java.sql.Connection\"}) { try { Class.forName(n); all.add(n); } catch (ClassNotFoundException e) {} } return all; }",
			calls(`{}`, `["com.huawei.services.runtime.Context","java.sql.Connection"]`)),
	}
}

// with changes a case.
func (c Case) with(load func(*lang.Load), check func(*testing.T, *Worker, Reply)) Case {
	c.Load, c.Check = load, check
	return c
}

// javaLives are about what fails and ends.
func javaLives() []Case {
	return []Case{
		javaCase("stack of an exception", `
static class MyError extends Exception { MyError(String m, Throwable c) { super(m, c); } }
static void inner() throws Exception { try { new ArrayList<>().get(0); } catch (RuntimeException e) { throw new MyError("out of cheese", e); } }
public void handler() throws Exception { inner(); }`, func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			r := w.Call(`{}`)
			failed(t, r, lang.FailException, "MyError", "out of cheese")
			stack := strings.Join(r.Failure.Stack, "\n")
			require.Regexp(t, `^Index\$MyError: out of cheese\n\tat Index.inner\(Index.java:6\)\n\tat Index.handler\(Index.java:7\)\nCaused by: java.lang.IndexOutOfBoundsException: `, stack)
			require.NotContains(t, stack, "hanshu")
			require.NotContains(t, stack, "reflect")
		}),
		javaCase("recursion without end", "int a(int n) { return a(n + 1) + 1; }\npublic int handler(int event) { return event == 0 ? 1 : a(0); }", func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			r := w.Call(`1`)
			failed(t, r, lang.FailException, "StackOverflowError", "")
			require.LessOrEqual(t, len(r.Failure.Stack), 201)
			result(t, w.Call(`0`), `1`)
		}),
		javaCase("heap that is full", "public Object handler() { return new long[Integer.MAX_VALUE - 8]; }", func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			failed(t, w.Call(`{}`), lang.FailLast, "OutOfMemoryError", "heap space")
			require.Equal(t, 1, w.Exit())
		}),
		javaCase("uncaught in a thread", "public Object handler() throws Exception { Thread t = new Thread(() -> { throw new IllegalStateException(\"lost\"); }, \"mine\"); t.start(); t.join(); return 1; }", func(t *testing.T, w *Worker, l Reply) {
			calls(`{}`, `1`)(t, w, l)
			lines := logLines(w.Output())
			require.Len(t, lines, 1)
			require.Equal(t, faas.LevelError, lines[0].Level)
			require.Contains(t, lines[0].Text, "uncaught in thread mine: java.lang.IllegalStateException: lost\n\tat Index")
		}),
		javaCase("class that is missing in a call", "public Object handler() throws Exception { return Class.forName(\"com.example.None\"); }", thrown("ClassNotFoundException", `{}`, "com.example.None")),
		javaCase("state of the context", "public Object handler(Context context) { Object was = context.getState(); context.setState(1); return was; }", calls(`{}`, `null`, `{}`, `1`)),
	}
}
