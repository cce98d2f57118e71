package sandboxtest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// rootOf makes a root that borrows the host's /usr by a mount and is its own otherwise.
func rootOf(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644))
	for path, text := range map[string]string{"etc/marker": "of the image\n", "opt/own/file": "beside\n", "opt/function/old": "kept\n", "opt/function/code/hidden": "", "dev/hidden": "", "top": "file\n"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
	}
	for _, l := range [][2]string{
		{"usr/bin", "bin"}, {"usr/lib", "lib"}, {"usr/lib64", "lib64"},
		// What lies where the driver has something to put, and leads elsewhere.
		{outside, "tmp"}, {outside, "proc"}, {outside, "srv"}, {"../../.." + outside, "home"},
	} {
		require.NoError(t, os.Symlink(l[0], filepath.Join(root, l[1])))
	}
	return root
}

func testRoot(t *testing.T, d sandbox.Driver) {
	code := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(code, "data"), []byte("shown\n"), 0o644))
	s := spec("")
	s.Root, s.UID, s.GID = rootOf(t), 4321, 8765
	s.Mounts = []sandbox.Mount{{Source: "/usr", Target: "/usr"}, {Source: code, Target: "/opt/function/code"}}
	if !d.Capabilities().Root {
		_, err := d.Start(t.Context(), s)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	says := func(script, want string) {
		t.Helper()
		s := s
		s.Command = []string{"/bin/sh", "-c", script}
		o := run(t, d, s)
		require.Equal(t, want, o.said, script)
	}
	says("cat /etc/marker /opt/own/file /opt/function/old /opt/function/code/data /top", "of the image\nbeside\nkept\nshown\nfile\n")
	says("ls /etc; ls /opt/function/code; id -u; id -g; pwd", "marker\ndata\n4321\n8765\n/\n")
	says("ls / | tr '\\n' ' '", "bin dev etc home lib lib64 opt proc srv tmp top usr ")
	says("cat /srv/secret /home/secret /tmp/secret /proc/secret 2>/dev/null; ls /dev/hidden /home/ /srv/ 2>/dev/null; echo end", "end\n")
	says("for f in /etc/marker /etc/new /new /opt/new /opt/function/new /usr/new; do (echo x > $f) 2>/dev/null && echo wrote $f; done; echo kept > /tmp/new && cat /tmp/new; cat /proc/self/comm", "kept\ncat\n")

	// A root whose folders on the way to the driver's places are links out.
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644))
	for _, name := range []string{"opt", "dev"} {
		require.NoError(t, os.RemoveAll(filepath.Join(s.Root, name)))
		require.NoError(t, os.Symlink(outside, filepath.Join(s.Root, name)))
	}
	says("cat /opt/function/code/data; ls /opt; ls /opt/secret /dev/secret 2>/dev/null; ls "+outside+" 2>/dev/null; echo end", "shown\nfunction\nend\n")
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing was laid outside")
}
