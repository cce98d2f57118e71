package lang

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The test program stands in for interpreters: under a name such as "tongue3.9.1" it says that it is version 3.9.1.
func TestMain(m *testing.M) {
	if version, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "tongue"); ok {
		if len(os.Environ()) != 0 || len(os.Args) != 2 || os.Args[1] != "ask" {
			os.Exit(1)
		}
		fmt.Println(version)
		prefix := filepath.Dir(filepath.Dir(os.Args[0]))
		fmt.Println(prefix)
		if version == "3.9.12" { // this one reads more than lies beside it
			fmt.Printf("%s/conf\n/usr/share\nrelative\n", prefix)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func install(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	if os.Link(self, path) == nil {
		return
	}
	in, err := os.Open(self)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}

func TestFindInterpreters(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	a, b := filepath.Join(root, "a", "bin"), filepath.Join(root, "b", "bin")
	install(t, filepath.Join(a, "tongue3.9.1"))
	install(t, filepath.Join(a, "tongue3.10.0"))
	install(t, filepath.Join(a, "tongue3.5.9")) // too old
	install(t, filepath.Join(a, "tongueX"))     // does not say a version
	install(t, filepath.Join(a, "other3.9.9"))  // another name
	install(t, filepath.Join(b, "tongue3.9.12"))
	require.NoError(t, os.Mkdir(filepath.Join(root, "a", "lib"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(a, "tongue3.10.0"), filepath.Join(b, "tongue"))) // the same again
	require.NoError(t, os.Symlink(filepath.Join(a, "gone"), filepath.Join(b, "tongue7")))
	require.NoError(t, os.WriteFile(filepath.Join(b, "tongue3.11.0"), []byte("#!/bin/sh\ntouch "+root+"/started\necho 3.11.0\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(b, "tongue3.12.0"), []byte("\x7fELF and no more"), 0o755))

	got := FindInterpreters(t.Context(), []string{a, filepath.Join(root, "none"), b}, regexp.MustCompile(`^tongue`), "3.6", "ask")
	require.Equal(t, []Install{
		{Path: filepath.Join(a, "tongue3.10.0"), Version: "3.10.0", Roots: []string{a, filepath.Join(root, "a", "lib")}},
		{Path: filepath.Join(b, "tongue3.9.12"), Version: "3.9.12", Roots: []string{b, filepath.Join(root, "b", "conf")}},
		{Path: filepath.Join(a, "tongue3.9.1"), Version: "3.9.1", Roots: []string{a, filepath.Join(root, "a", "lib")}},
	}, got)
	require.NoFileExists(t, filepath.Join(root, "started"), "a script was started")
}

func TestPreferred(t *testing.T) {
	usr, local, own := Install{Path: "/usr/bin/x", Version: "3.11.2"}, Install{Path: "/usr/local/bin/x", Version: "3.11.4"}, Install{Path: "/opt/x/bin/x", Version: "3.11.9"}
	require.Negative(t, preferred(usr, local))
	require.Negative(t, preferred(local, own))
	require.Negative(t, preferred(Install{Path: "/opt/x", Version: "3.12.0"}, usr), "a newer minor comes first wherever it lies")
	require.Negative(t, preferred(Install{Path: "/opt/x", Version: "3.10.10"}, Install{Path: "/opt/y", Version: "3.10.9"}))
}

func TestSearchDirs(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"shims", "versions/3.9/bin", "versions/3.10/bin"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	got := SearchDirs(strings.Join([]string{"relative/bin", "", "/usr/bin/", filepath.Join(root, "shims")}, ":"))
	for _, want := range []string{"/usr/bin", "/usr/local/bin", filepath.Join(root, "versions/3.9/bin"), filepath.Join(root, "versions/3.10/bin")} {
		require.Contains(t, got, want)
	}
	for _, dir := range got {
		require.True(t, filepath.IsAbs(dir), dir)
	}
	require.Len(t, regexp.MustCompile(`(?m)^/usr/bin$`).FindAllString(strings.Join(got, "\n"), -1), 1)
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"3.9", "3.10", -1}, {"3.10", "3.10.0", 0}, {"18", "6.10", 1}, {"", "1", -1}, {"3.9.18", "3.9.2", 1}} {
		require.Equal(t, c.want, compareVersions(c.a, c.b), "%v", c)
	}
}
