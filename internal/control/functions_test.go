package control_test

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/control/controltest"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

const project = "7aad83af3e8d42e99ac194e8419e2c9b"

type bench struct {
	*control.Functions
	store    *controltest.Store
	packages *controltest.Packages
	web      controltest.Fetcher
	changes  *controltest.Changes
	now      time.Time
}

func newBench() *bench {
	b := &bench{
		store: controltest.NewStore(), packages: controltest.NewPackages(), web: controltest.Fetcher{},
		changes: &controltest.Changes{}, now: time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC),
	}
	b.Functions = control.NewFunctions(control.FunctionsConfig{
		Store: b.store, Packages: b.packages, Fetcher: b.web, Sealer: controltest.Sealer{}, Changes: b.changes,
		Runtimes: controltest.Runtimes{}, Quota: faas.Quota{Functions: 3, CodeBytes: 100 << 20}, Region: "local",
		Now: func() time.Time { return b.now },
	})
	return b
}

func p[T any](v T) *T { return &v }

func sample(change func(*control.NewFunction)) control.NewFunction {
	n := control.NewFunction{
		Name: "test",
		Settings: control.Settings{
			Runtime: p("Python3.9"), Handler: p("index.handler"), MemoryMB: p(128), TimeoutSec: p(3),
		},
		Code: control.Code{Kind: faas.KindInline, Data: []byte("def handler(e, c): return e")},
	}
	if change != nil {
		change(&n)
	}
	return n
}

func urn(t *testing.T, text string) faas.URN {
	u, err := faas.ParseURN(text)
	require.NoError(t, err)
	return u
}

func wantError(t *testing.T, err error, code faas.Code, field string) {
	t.Helper()
	var e *faas.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, string(code)+" "+field, string(e.Code)+" "+e.Field, e.Message)
}

func TestCreateGivesDefaults(t *testing.T) {
	b := newBench()
	f, err := b.Create(t.Context(), project, sample(nil))
	require.NoError(t, err)
	stored, err := b.Get(t.Context(), project, urn(t, "test"))
	require.NoError(t, err)
	require.Equal(t, stored, f)

	require.Len(t, f.ID, 36)
	require.Regexp(t, `^latest-200603162219@[a-z0-9]{5}$`, f.ImageLabel)
	f.ID, f.ImageLabel = "", ""
	sum := sha512.Sum512([]byte("def handler(e, c): return e"))
	require.Equal(t, &faas.Function{
		Project: project, Package: "default", Name: "test", Version: "latest", Revision: 1,
		Spec: faas.Spec{
			Runtime: "Python3.9", Handler: "index.handler", Timeout: 3 * time.Second, MemoryMB: 128, TmpMB: 512,
			MaxInstances: -1, RequestsPer: 1, Generation: "v2",
		},
		Code: faas.Package{Kind: "inline", Filename: "index.py", Size: 27, Source: true,
			Digest: hex.EncodeToString(sum[:])},
		CreatedAt: b.now, ModifiedAt: b.now,
	}, f)
	require.Len(t, b.changes.Take(), 1)
}

func TestCreateRefuses(t *testing.T) {
	long := strings.Repeat("x", 513)
	cases := map[string]struct {
		change func(*control.NewFunction)
		code   faas.Code
		field  string
	}{
		"name":            {func(n *control.NewFunction) { n.Name = "1st" }, faas.CodeInvalid, "func_name"},
		"package":         {func(n *control.NewFunction) { n.Package = "a:b" }, faas.CodeInvalid, "package"},
		"no runtime":      {func(n *control.NewFunction) { n.Settings.Runtime = nil }, faas.CodeInvalid, "runtime"},
		"no handler":      {func(n *control.NewFunction) { n.Settings.Handler = p("") }, faas.CodeInvalid, "handler"},
		"no memory":       {func(n *control.NewFunction) { n.Settings.MemoryMB = nil }, faas.CodeInvalid, "memory_size"},
		"no timeout":      {func(n *control.NewFunction) { n.Settings.TimeoutSec = nil }, faas.CodeInvalid, "timeout"},
		"runtime":         {func(n *control.NewFunction) { n.Settings.Runtime = p("COBOL") }, faas.CodeInvalid, "runtime"},
		"not installed":   {func(n *control.NewFunction) { n.Settings.Runtime = p("Java8") }, faas.CodeUnsupported, "runtime"},
		"handler":         {func(n *control.NewFunction) { n.Settings.Handler = p("handler") }, faas.CodeInvalid, "handler"},
		"long handler":    {func(n *control.NewFunction) { n.Settings.Handler = p("a." + long) }, faas.CodeInvalid, "handler"},
		"memory":          {func(n *control.NewFunction) { n.Settings.MemoryMB = p(100) }, faas.CodeInvalid, "memory_size"},
		"timeout low":     {func(n *control.NewFunction) { n.Settings.TimeoutSec = p(2) }, faas.CodeInvalid, "timeout"},
		"timeout wraps":   {func(n *control.NewFunction) { n.Settings.TimeoutSec = p(1 << 62) }, faas.CodeInvalid, "timeout"},
		"tmp":             {func(n *control.NewFunction) { n.Settings.TmpMB = p(1024) }, faas.CodeInvalid, "ephemeral_storage"},
		"description":     {func(n *control.NewFunction) { n.Settings.Description = &long }, faas.CodeInvalid, "description"},
		"init, no time":   {func(n *control.NewFunction) { n.Settings.InitHandler = p("index.init") }, faas.CodeInvalid, "initializer_timeout"},
		"init time":       {func(n *control.NewFunction) { n.Settings.InitTimeoutSec = p(301) }, faas.CodeInvalid, "initializer_timeout"},
		"init handler":    {func(n *control.NewFunction) { n.Settings.InitHandler = p("init") }, faas.CodeInvalid, "initializer_handler"},
		"instances":       {func(n *control.NewFunction) { n.Settings.MaxInstances = p(1001) }, faas.CodeInvalid, "concurrency"},
		"instances low":   {func(n *control.NewFunction) { n.Settings.MaxInstances = p(-2) }, faas.CodeInvalid, "concurrency"},
		"requests":        {func(n *control.NewFunction) { n.Settings.RequestsPer = p(0) }, faas.CodeInvalid, "concurrent_num"},
		"generation":      {func(n *control.NewFunction) { n.Settings.Generation = p("v3") }, faas.CodeInvalid, "type"},
		"role":            {func(n *control.NewFunction) { n.Settings.Role = &long }, faas.CodeInvalid, "xrole"},
		"dependency":      {func(n *control.NewFunction) { n.Settings.Dependencies = &[]string{"x"} }, faas.CodeNotFound, "dependency"},
		"user data":       {func(n *control.NewFunction) { n.Settings.UserData = p("[]") }, faas.CodeInvalid, "user_data"},
		"secrets":         {func(n *control.NewFunction) { n.Settings.EncryptedUserData = p("{") }, faas.CodeInvalid, "encrypted_user_data"},
		"kind":            {func(n *control.NewFunction) { n.Code.Kind = "tar" }, faas.CodeInvalid, "code_type"},
		"image":           {func(n *control.NewFunction) { n.Code.Kind = faas.KindImage }, faas.CodeInvalid, "code_type"},
		"no code":         {func(n *control.NewFunction) { n.Code = control.Code{} }, faas.CodeInvalid, "func_code.missing"},
		"zip that is not": {func(n *control.NewFunction) { n.Code.Kind = "zip" }, faas.CodeInvalid, "func_code"},
		"jar that is not": {func(n *control.NewFunction) { n.Code.Kind = "jar" }, faas.CodeInvalid, "func_code"},
		"name of a zip":   {func(n *control.NewFunction) { n.Code.Filename = "index.ZIP" }, faas.CodeInvalid, "code_filename"},
		"file above":      {func(n *control.NewFunction) { n.Code.Filename = "../a.py" }, faas.CodeInvalid, "code_filename"},
		"file absolute":   {func(n *control.NewFunction) { n.Code.Filename = "/a.py" }, faas.CodeInvalid, "code_filename"},
		"file hidden up":  {func(n *control.NewFunction) { n.Code.Filename = "a/../../b.py" }, faas.CodeInvalid, "code_filename"},
		"file zero":       {func(n *control.NewFunction) { n.Code.Filename = "a\x00.py" }, faas.CodeInvalid, "code_filename"},
		"too large":       {func(n *control.NewFunction) { n.Code.Data = make([]byte, faas.MaxPackageBytes+1) }, faas.CodeTooLarge, "func_code"},
		"url beside data": {func(n *control.NewFunction) { n.Code.URL = "https://a/b" }, faas.CodeInvalid, "code_url"},
		"obs, no url":     {func(n *control.NewFunction) { n.Code.Kind = "obs" }, faas.CodeInvalid, "code_url"},
		"obs and data":    {func(n *control.NewFunction) { n.Code.Kind = "obs"; n.Code.URL = "https://a/b" }, faas.CodeInvalid, "func_code"},
		"obs, gone":       {func(n *control.NewFunction) { n.Code = control.Code{URL: "https://a/gone"} }, faas.CodeInvalid, "code_url"},
		"obs, no zip":     {func(n *control.NewFunction) { n.Code = control.Code{URL: "https://a/text"} }, faas.CodeInvalid, "code_url"},
	}
	b := newBench()
	b.web["https://a/text"] = []byte("hello")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := b.Create(t.Context(), project, sample(c.change))
			wantError(t, err, c.code, c.field)
		})
	}
	usage, _, err := b.Usage(t.Context(), project)
	require.NoError(t, err)
	require.Zero(t, usage, "nothing is stored of what was refused")
	require.Empty(t, b.changes.Take())
}

func TestCreateTwiceAndOverQuota(t *testing.T) {
	b := newBench()
	_, err := b.Create(t.Context(), project, sample(nil))
	require.NoError(t, err)
	_, err = b.Create(t.Context(), project, sample(nil))
	wantError(t, err, faas.CodeExists, "function")
	_, err = b.Create(t.Context(), project, sample(func(n *control.NewFunction) { n.Package = "other" }))
	require.NoError(t, err, "a name belongs to its package")
	_, err = b.Create(t.Context(), project, sample(func(n *control.NewFunction) { n.Name = "third" }))
	require.NoError(t, err)
	_, err = b.Create(t.Context(), project, sample(func(n *control.NewFunction) { n.Name = "fourth" }))
	wantError(t, err, faas.CodeQuota, "functions")
	_, err = b.Create(t.Context(), "elsewhere", sample(nil))
	require.NoError(t, err, "a quota belongs to its project")
}

func TestCodeKindsAndNames(t *testing.T) {
	zip := []byte("PK\x03\x04rest")
	cases := map[string]struct {
		code           control.Code
		kind, filename string
	}{
		"inline source":    {control.Code{Kind: "inline", Data: []byte("x")}, "inline", "index.py"},
		"inline, own name": {control.Code{Kind: "inline", Data: []byte("x"), Filename: "lib/main.py"}, "inline", "lib/main.py"},
		"inline zip":       {control.Code{Kind: "inline", Data: zip}, "inline", "index.zip"},
		"zip":              {control.Code{Kind: "zip", Data: zip}, "zip", "test.zip"},
		"zip, own name":    {control.Code{Kind: "zip", Data: zip, Filename: "mine.zip"}, "zip", "mine.zip"},
		"jar":              {control.Code{Kind: "jar", Data: zip}, "jar", "test.jar"},
		"obs":              {control.Code{Kind: "obs", URL: "https://b.obs/fss_examples.zip"}, "obs", "fss_examples.zip"},
		"obs, no name":     {control.Code{Kind: "obs", URL: "https://b.obs/"}, "obs", "test.zip"},
		"told: source":     {control.Code{Data: []byte("x")}, "inline", "index.py"},
		"told: zip":        {control.Code{Data: zip}, "zip", "test.zip"},
		"told: url":        {control.Code{URL: "https://b.obs/fss_examples.zip"}, "obs", "fss_examples.zip"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			b.web["https://b.obs/fss_examples.zip"], b.web["https://b.obs/"] = zip, zip
			f, err := b.Create(t.Context(), project, sample(func(n *control.NewFunction) { n.Code = c.code }))
			require.NoError(t, err)
			require.Equal(t, c.kind, f.Code.Kind)
			require.Equal(t, c.filename, f.Code.Filename)
			require.Equal(t, c.code.URL, f.Code.URL)

			_, r, err := b.Code(t.Context(), project, urn(t, "test"))
			require.NoError(t, err)
			defer r.Close()
			data, err := io.ReadAll(r)
			require.NoError(t, err)
			if c.code.URL == "" {
				require.Equal(t, c.code.Data, data)
			} else {
				require.Equal(t, zip, data)
			}
		})
	}
}

func TestUpdateConfig(t *testing.T) {
	b := newBench()
	made, err := b.Create(t.Context(), project, sample(func(n *control.NewFunction) {
		n.Settings.Description = p("first")
		n.Settings.UserData = p(`{"a":"1"}`)
		n.Settings.InitHandler, n.Settings.InitTimeoutSec = p("index.init"), p(10)
		n.Settings.Carried = map[string]string{"func_vpc": `{"x":1}`, "tags": `"t"`}
	}))
	require.NoError(t, err)
	b.changes.Take()
	b.now = b.now.Add(time.Hour)

	f, err := b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{
		Description: p(""), UserData: p(""), InitHandler: p(""), MemoryMB: p(256), Carried: map[string]string{"tags": ""},
	})
	require.NoError(t, err)
	want := *made
	want.Revision, want.ModifiedAt = 2, b.now
	want.Spec.Description, want.Spec.UserData, want.Spec.InitHandler, want.Spec.MemoryMB = "", "", "", 256
	want.Spec.Carried = map[string]string{"func_vpc": `{"x":1}`}
	require.Equal(t, &want, f)
	require.Equal(t, []faas.FunctionKey{f.Key()}, b.changes.Take())

	_, err = b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{Handler: p("none")})
	wantError(t, err, faas.CodeInvalid, "handler")
	_, err = b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{Runtime: p("")})
	wantError(t, err, faas.CodeInvalid, "runtime")
	after, err := b.Get(t.Context(), project, urn(t, "test"))
	require.NoError(t, err)
	require.Equal(t, f, after, "a refused change leaves no trace")
	require.Empty(t, b.changes.Take())
}

func TestSourceFollowsItsHandler(t *testing.T) {
	b := newBench()
	_, err := b.Create(t.Context(), project, sample(nil))
	require.NoError(t, err)
	f, err := b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{Handler: p("main.run")})
	require.NoError(t, err)
	require.Equal(t, "main.py", f.Code.Filename)
	f, err = b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{Runtime: p("Node.js18.15")})
	require.NoError(t, err)
	require.Equal(t, "main.js", f.Code.Filename)
	_, err = b.UpdateCode(t.Context(), project, urn(t, "test"), control.CodeUpdate{Code: control.Code{Kind: "inline", Data: []byte("y"), Filename: "own.js"}})
	require.NoError(t, err)
	f, err = b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{Handler: p("index.run")})
	require.NoError(t, err)
	require.Equal(t, "own.js", f.Code.Filename, "a name that the owner chose stays")
}

func TestUpdateCode(t *testing.T) {
	b := newBench()
	made, err := b.Create(t.Context(), project, sample(nil))
	require.NoError(t, err)
	b.changes.Take()
	b.now = b.now.Add(time.Hour)
	f, err := b.UpdateCode(t.Context(), project, urn(t, "test"), control.CodeUpdate{Code: control.Code{Kind: "inline", Data: []byte("new")}})
	require.NoError(t, err)
	require.NotEqual(t, made.Code.Digest, f.Code.Digest)
	require.NotEqual(t, made.ImageLabel, f.ImageLabel)
	require.Equal(t, b.now, f.ModifiedAt)
	require.Len(t, b.changes.Take(), 1)

	kept, err := b.UpdateCode(t.Context(), project, urn(t, "test"), control.CodeUpdate{Dependencies: &[]string{}})
	require.NoError(t, err)
	require.Equal(t, f.Code, kept.Code)
	_, err = b.UpdateCode(t.Context(), project, urn(t, "test"), control.CodeUpdate{Code: control.Code{Kind: "inline"}})
	wantError(t, err, faas.CodeInvalid, "func_code.missing")
	_, err = b.UpdateCode(t.Context(), project, urn(t, "none"), control.CodeUpdate{Code: control.Code{URL: "https://a/never-asked"}})
	wantError(t, err, faas.CodeNotFound, "function")
}

func TestSecrets(t *testing.T) {
	b := newBench()
	f, err := b.Create(t.Context(), project, sample(func(n *control.NewFunction) {
		n.Settings.UserData = p(`{"host":"h","port":8080,"debug":true,"key":"plain"}`)
		n.Settings.EncryptedUserData = p(`{"key":"s3cret","token":"t"}`)
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"key", "token"}, f.Spec.SealedKeys)
	vars, err := b.Variables(f)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"host": "h", "port": "8080", "debug": "true", "key": "s3cret", "token": "t"}, vars)

	f, err = b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{EncryptedUserData: p(`{"key":"","new":"n"}`)})
	require.NoError(t, err)
	vars, err = b.Variables(f)
	require.NoError(t, err)
	require.Equal(t, "s3cret", vars["key"], "an empty value keeps the secret")
	require.Equal(t, "n", vars["new"])
	require.NotContains(t, vars, "token")

	other := *f
	other.ID = "another"
	_, err = b.Variables(&other)
	require.Error(t, err, "secrets are bound to their function")

	f, err = b.UpdateConfig(t.Context(), project, urn(t, "test"), control.Settings{EncryptedUserData: p("")})
	require.NoError(t, err)
	require.Nil(t, f.Spec.SealedData)
	require.Nil(t, f.Spec.SealedKeys)
}

func TestParseVariables(t *testing.T) {
	items := func(n int) string {
		var parts []string
		for i := range n {
			parts = append(parts, fmt.Sprintf(`"k%d":""`, i))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	good := []string{"", "{}", " {} \n", `{"A_1":"x"}`, `{"_a":"ü"}`, items(20), `{"a":"` + strings.Repeat("x", 4096-8) + `"}`}
	for _, text := range good {
		_, err := control.ParseVariables("user_data", text)
		require.NoError(t, err, "%.60s", text)
	}
	bad := map[string]string{
		"x": "", "null": "", `"a"`: "", "[]": "", "{": "", `{"a"}`: "", `{"a":"b"`: "", `{"a":"b"}x`: "", `{} {}`: "",
		`{"a":null}`: "", `{"a":{}}`: "", `{"a":[1]}`: "", `{"1a":"b"}`: "", `{"":"b"}`: "", `{"a-b":"b"}`: "", `{"a=b":"b"}`: "",
		`{"a":"1","a":"2"}`: "", "{\"a\":\"\\u0000\"}": "",
		items(21): ".items", `{"a":"` + strings.Repeat("x", 4096) + `"}`: ".size",
	}
	for text, field := range bad {
		_, err := control.ParseVariables("user_data", text)
		wantError(t, err, faas.CodeInvalid, "user_data"+field)
	}
}

func TestURNs(t *testing.T) {
	b := newBench()
	_, err := b.Create(t.Context(), project, sample(nil))
	require.NoError(t, err)
	long := "urn:fss:local:" + project + ":function:default:test"
	for _, text := range []string{"test", "default:test", project + ":default:test", project + ":default:test:latest", long, long + ":latest"} {
		_, err := b.Get(t.Context(), project, urn(t, text))
		require.NoError(t, err, text)
	}
	for text, field := range map[string]string{
		"none": "function", "other:test": "function", "elsewhere:default:test": "function",
		long + ":v1": "version", long + ":!prod": "alias", "none:x": "function", project + ":default:none:!prod": "function",
	} {
		_, err := b.Get(t.Context(), project, urn(t, text))
		wantError(t, err, faas.CodeNotFound, field)
		_, err = b.UpdateConfig(t.Context(), project, urn(t, text), control.Settings{})
		wantError(t, err, faas.CodeNotFound, field)
		wantError(t, b.Delete(t.Context(), project, urn(t, text)), faas.CodeNotFound, field)
	}
}

func TestDelete(t *testing.T) {
	b := newBench()
	f, err := b.Create(t.Context(), project, sample(nil))
	require.NoError(t, err)
	b.changes.Take()
	wantError(t, b.Delete(t.Context(), project, f.URN("local")), faas.CodeInvalid, "version")
	require.NoError(t, b.Delete(t.Context(), project, urn(t, "test")))
	require.Len(t, b.changes.Take(), 1)
	_, err = b.Get(t.Context(), project, urn(t, "test"))
	wantError(t, err, faas.CodeNotFound, "function")
}

func TestPinAndInstances(t *testing.T) {
	b := newBench()
	made, err := b.Create(t.Context(), project, sample(nil))
	require.NoError(t, err)
	b.now = b.now.Add(time.Hour)
	require.NoError(t, b.SetPinned(t.Context(), project, urn(t, "test"), true))
	f, err := b.Get(t.Context(), project, urn(t, "test"))
	require.NoError(t, err)
	require.True(t, f.Pinned)
	require.Equal(t, made.ModifiedAt, f.ModifiedAt)
	for n, ok := range map[int]bool{-1: true, 0: true, 1000: true, 1001: false, -2: false} {
		f, err := b.SetMaxInstances(t.Context(), project, urn(t, "test"), n)
		if !ok {
			wantError(t, err, faas.CodeInvalid, "concurrency")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, n, f.Spec.MaxInstances)
	}
}

func TestListPagesByOffset(t *testing.T) {
	b := newBench()
	store := controltest.NewStore()
	fs := control.NewFunctions(control.FunctionsConfig{Store: store})
	for i := range 1003 {
		f := &faas.Function{Project: project, Package: "default", Name: fmt.Sprintf("F%04d", i), Version: faas.Latest}
		require.NoError(t, store.CreateFunction(t.Context(), f, faas.Quota{Functions: 2000}))
	}
	for _, c := range []struct {
		offset      int64
		limit       int
		first, last string
	}{
		{0, 1, "F0000", "F0000"}, {0, 400, "F0000", "F0399"}, {400, 400, "F0400", "F0799"}, {999, 400, "F0999", "F1002"},
		{1, 1000, "F0001", "F1000"}, {1002, 1, "F1002", "F1002"},
	} {
		found, total, err := fs.List(t.Context(), project, control.ListQuery{Offset: c.offset, Limit: c.limit})
		require.NoError(t, err)
		require.EqualValues(t, 1003, total)
		require.Equal(t, [2]string{c.first, c.last}, [2]string{found[0].Name, found[len(found)-1].Name})
	}
	for _, offset := range []int64{1003, 1 << 60} {
		found, total, err := fs.List(t.Context(), project, control.ListQuery{Offset: offset, Limit: 10})
		require.NoError(t, err)
		require.EqualValues(t, 1003, total)
		require.Empty(t, found)
	}
	found, total, err := fs.List(t.Context(), project, control.ListQuery{NamePart: "f100", Limit: 400})
	require.NoError(t, err)
	require.EqualValues(t, 3, total)
	require.Len(t, found, 3)
	found, total, err = b.List(t.Context(), project, control.ListQuery{Limit: 10})
	require.NoError(t, err)
	require.Zero(t, total)
	require.Empty(t, found)
}

func TestStoreFailureChangesNothing(t *testing.T) {
	b := newBench()
	b.store.Fail = errors.New("disk full")
	_, err := b.Create(t.Context(), project, sample(nil))
	require.Equal(t, faas.CodeInternal, faas.CodeOf(err))
	b.store.Fail = nil
	_, err = b.Get(t.Context(), project, urn(t, "test"))
	wantError(t, err, faas.CodeNotFound, "function")
	require.Empty(t, b.changes.Take())
}
