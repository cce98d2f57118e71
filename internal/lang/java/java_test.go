package java

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// fake lays down a program that says of itself what a Java says.
func fake(t *testing.T, home, says string) string {
	t.Helper()
	program := filepath.Join(home, "bin", "java")
	require.NoError(t, os.MkdirAll(filepath.Dir(program), 0o755))
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755))
	return program
}

func TestFind(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	jvm := filepath.Join(root, "jvm")
	eight := fake(t, filepath.Join(jvm, "java-8"), `OpenJDK 64-Bit Server VM (25.392-b08) for linux-amd64 JRE (1.8.0_392-8u392-ga-1), built on Oct`)
	seventeen := fake(t, filepath.Join(jvm, "java-17"), `OpenJDK 64-Bit Server VM (17.0.15+6-Debian-1deb12u1) for linux-amd64 JRE (17.0.15+6-Debian-1deb12u1), built on`)
	early := fake(t, filepath.Join(jvm, "java-26"), `OpenJDK 64-Bit Server VM (26-ea+1) for linux-amd64 JRE (26-ea+1), built on`)
	fake(t, filepath.Join(jvm, "none"), `something else`)
	bin := filepath.Join(root, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	require.NoError(t, os.Symlink(seventeen, filepath.Join(bin, "java")))
	require.Equal(t, []lang.Install{
		{Path: early, Version: "26.0.0", Roots: []string{filepath.Join(jvm, "java-26")}},
		{Path: seventeen, Version: "17.0.15", Roots: []string{filepath.Join(jvm, "java-17")}},
		{Path: eight, Version: "8.0.392", Roots: []string{filepath.Join(jvm, "java-8")}},
	}, Find(t.Context(), []string{bin, filepath.Join(root, "absent")}))
}

// A build without a Java compiler refuses Java and says what to do.
func TestIncomplete(t *testing.T) {
	c := lang.NewCatalogue(t.Context(), []string{"/usr/bin"}, language(fstest.MapFS{}, false))
	_, err := c.Resolve("Java17")
	require.Equal(t, faas.CodeUnsupported, faas.CodeOf(err))
	require.ErrorContains(t, err, "default-jdk-headless and build hanshu again")
}

func TestCheckHandler(t *testing.T) {
	for _, good := range []string{"Index.handler", "com.example.Hello.handle", "com.example.Outer$Inner.my_initializer", "例.方法"} {
		require.NoError(t, checkHandler("handler", good), good)
	}
	for _, bad := range []string{"handler", "a..b", ".a.b", "a.b.", "com/example.Hello", "a.b-c", "a.1b", "a b.c"} {
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(checkHandler("handler", bad)), bad)
	}
}
