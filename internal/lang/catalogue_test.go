package lang

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func catalogue(t *testing.T, python, node []Install) *Catalogue {
	t.Helper()
	language := func(id, title, oldest string, versions []string, debian func(string) string, found []Install) *Language {
		return &Language{
			ID: id, Title: title, Prefix: title, Versions: versions, Oldest: oldest, Debian: debian,
			Find: func(context.Context, []string) []Install { return found },
		}
	}
	return NewCatalogue(t.Context(), nil,
		language("python", "Python", "3.6", []string{"2.7", "3.6", "3.9", "3.10", "3.12"}, func(string) string { return "python3" }, python),
		language("node", "Node.js", "12.13", []string{"10.16", "12.13", "18.15"}, func(v string) string { return "nodejs " + v }, node))
}

func TestResolve(t *testing.T) {
	python := []Install{{Version: "3.13.0"}, {Version: "3.11.2", Path: "/usr/bin/python3.11"}, {Version: "3.11.7"}, {Version: "3.9.18"}}
	c := catalogue(t, python, []Install{{Version: "20.20.2"}})
	for name, want := range map[string]struct {
		version string
		exact   bool
	}{
		"Python3.6":    {"3.9.18", false},
		"Python3.9":    {"3.9.18", true},
		"Python3.10":   {"3.11.2", false}, // as near as 3.9, and newer
		"Python3.12":   {"3.13.0", false}, // likewise
		"Python3.11":   {"3.11.2", true},  // no name of FunctionGraph, but installed
		"Python3.13":   {"3.13.0", true},
		"Node.js20.20": {"20.20.2", true},
	} {
		r, err := c.Resolve(name)
		require.NoError(t, err, name)
		require.Equal(t, want.version, r.Install.Version, name)
		require.Equal(t, want.exact, r.Exact, name)
		require.Equal(t, name, r.Name)
		require.Equal(t, want.exact, r.Notice() == "", name)
	}
	r, err := c.Resolve("Python3.6")
	require.NoError(t, err)
	require.Equal(t, "Python3.6 is served by Python 3.9.18, the nearest version installed on this host", r.Notice())
}

// Of a language whose versions are majors, a newer one serves an older name, and never the other way round.
func TestMajors(t *testing.T) {
	java := &Language{
		ID: "java", Title: "Java", Prefix: "Java", Versions: []string{"8", "11", "17", "21"}, Majors: true, Oldest: "8",
		Debian: func(v string) string { return "openjdk-" + v },
		Find:   func(context.Context, []string) []Install { return []Install{{Version: "19.0.2"}, {Version: "17.0.15"}} },
	}
	c := NewCatalogue(t.Context(), nil, java)
	for name, want := range map[string]string{"Java8": "17.0.15", "Java11": "17.0.15", "Java17": "17.0.15", "Java19": "19.0.2"} {
		r, err := c.Resolve(name)
		require.NoError(t, err, name)
		require.Equal(t, want, r.Install.Version, name)
		require.Equal(t, name == "Java17" || name == "Java19", r.Exact, name)
	}
	for name, want := range map[string]string{
		"Java21": "Java21 needs Java 21 or newer, which is not installed on this host; install openjdk-21",
		"Java18": "not known", "Java17.0": "not known", "Java": "not known", "Java017": "not known",
	} {
		_, err := c.Resolve(name)
		require.ErrorContains(t, err, want, name)
	}
	var names []string
	for _, i := range c.List()[:5] {
		names = append(names, i.Name)
	}
	require.Equal(t, []string{"Java8", "Java11", "Java17", "Java19", "Java21"}, names)
}

// Another implementation of a language serves its names, and says so.
func TestOtherImplementation(t *testing.T) {
	c := catalogue(t, []Install{{Version: "3.9.1", Title: "Graal"}}, nil)
	r, err := c.Resolve("Python3.9")
	require.NoError(t, err)
	require.Equal(t, "Python3.9 is served by Graal 3.9.1, the nearest version installed on this host", r.Notice())
}

func TestResolveRefuses(t *testing.T) {
	c := catalogue(t, nil, []Install{{Version: "20.20.2"}})
	for name, want := range map[string]struct {
		code faas.Code
		text string
	}{
		"Python3.9":         {faas.CodeUnsupported, "Python3.9 needs Python 3, which is not installed on this host; install python3"},
		"Python2.7":         {faas.CodeUnsupported, "Python2.7 needs Python 2.7, which is past its end of life and cannot run here; install python3 and name a runtime of Python 3.6 or newer"},
		"Node.js18.15":      {faas.CodeUnsupported, "Node.js18.15 needs Node.js 18, which is not installed on this host; install nodejs 18.15"},
		"Node.js10.16":      {faas.CodeUnsupported, "past its end of life"},
		"Cangjie1.0":        {faas.CodeUnsupported, "runtime Cangjie1.0 is not available in this release"},
		"C#(.NET Core 3.1)": {faas.CodeUnsupported, "package dotnet-runtime"},
		"Go1.8":             {faas.CodeUnsupported, "not available in this release"},
		"Node.js20.15":      {faas.CodeInvalid, "not known"}, // neither a name in this catalogue nor installed
		"Python3.11":        {faas.CodeInvalid, "not known"},
		"Python3":           {faas.CodeInvalid, "not known"},
		"Python3.9.1":       {faas.CodeInvalid, "not known"},
		"Python03.9":        {faas.CodeInvalid, "not known"},
		"python3.9":         {faas.CodeInvalid, "not known"},
		"":                  {faas.CodeInvalid, "not known"},
		"COBOL":             {faas.CodeInvalid, `runtime "COBOL" is not known here`},
	} {
		_, err := c.Resolve(name)
		require.Error(t, err, name)
		require.Equal(t, want.code, faas.CodeOf(err), "%s: %v", name, err)
		require.Contains(t, err.Error(), want.text)
		var e *faas.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "runtime", e.Field)
	}
}

func TestList(t *testing.T) {
	c := catalogue(t, []Install{{Version: "3.11.2", Path: "/usr/bin/python3.11"}, {Version: "3.9.18", Path: "/p/3.9"}}, nil)
	list := c.List()
	byName := map[string]Info{}
	var names []string
	for _, i := range list {
		byName[i.Name] = i
		names = append(names, i.Name)
	}
	require.Len(t, byName, len(list), "a name is listed twice")
	require.Equal(t, []string{"Python2.7", "Python3.6", "Python3.9", "Python3.10", "Python3.11", "Python3.12", "Node.js10.16", "Node.js12.13", "Node.js18.15"}, names[:9])
	require.Equal(t, Info{Name: "Python3.9", Title: "Python 3.9", Status: StatusExact, Version: "3.9.18", Path: "/p/3.9"}, byName["Python3.9"])
	require.Equal(t, StatusServed, byName["Python3.12"].Status)
	require.Contains(t, byName["Python3.12"].Note, "3.11.2")
	require.Equal(t, StatusMissing, byName["Node.js18.15"].Status)
	require.Contains(t, byName["Node.js18.15"].Note, "install")
	require.Equal(t, "runtime Cangjie1.0 is not available in this release", byName["Cangjie1.0"].Note)
	for _, i := range list {
		require.Equal(t, i.Status == StatusExact, i.Note == "", "%+v", i)
		require.Equal(t, i.Status == StatusMissing, i.Path == "", "%+v", i)
	}
}

func TestCheckModuleHandler(t *testing.T) {
	for _, h := range []string{"a.b", "index.handler", "src/index.handler", "pkg.mod.handler", "my-func.handler", "a/b/c_d.e1", "index.$f", "文件.处理"} {
		require.NoError(t, CheckModuleHandler("handler", h), h)
		file, function := SplitHandler(h)
		require.Equal(t, h, file+"."+function)
		require.NotContains(t, function, ".")
	}
	long := "index." + strings.Repeat("h", 123)
	for _, h := range []string{"", "a", "ab", "handler", ".h", "index.", "/index.handler", "../index.handler", "src/../index.handler", "src//index.handler", "a..b", "index.1x", "a b.c", "a.b\n", "a\x00.b", "index.handler/", long} {
		err := CheckModuleHandler("initializer_handler", h)
		require.Error(t, err, "%q", h)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
		var e *faas.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "initializer_handler", e.Field)
	}
	require.NoError(t, CheckModuleHandler("handler", long[:128]))
}

func TestResolveNames(t *testing.T) {
	language := func(id, name string, found []Install) *Language {
		return &Language{
			ID: id, Title: id, Names: []string{name}, Debian: func(string) string { return "package-" + id },
			Find: func(context.Context, []string) []Install { return found },
		}
	}
	c := NewCatalogue(t.Context(), nil, language("here", "http", []Install{{Version: "1"}}), language("away", "Custom", nil))
	r, err := c.Resolve("http")
	require.NoError(t, err)
	require.Equal(t, "here", r.Language.ID)
	require.Empty(t, r.Notice())
	_, err = c.Resolve("Custom")
	require.ErrorContains(t, err, "install package-away")
	_, err = c.Resolve("http1.0")
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
	require.Equal(t, []Info{
		{Name: "http", Title: "http", Status: StatusExact, Version: "1"},
		{Name: "Custom", Title: "Custom", Status: StatusMissing, Note: "Custom needs away, which is not installed on this host; install package-away"},
	}, c.List()[:2])
}
