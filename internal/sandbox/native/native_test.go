//go:build linux

package native_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/tundev"
	"github.com/hanshu-faas/hanshu/internal/sandbox/sandboxtest"
)

// initVariable names an init that is already built, for the run as another user.
const initVariable = "HANSHU_TEST_SANDBOX_INIT"

// builtInit builds the init from source, so that the suite tests what is in the tree and not what was built last.
var builtInit = sync.OnceValues(func() ([]byte, error) {
	if ready := os.Getenv(initVariable); ready != "" {
		return os.ReadFile(ready)
	}
	dir, err := os.MkdirTemp("", "hanshu-init-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "init")
	build := exec.Command("go", "build", "-o", out, "./init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return os.ReadFile(out)
})

func buildInit(t *testing.T) []byte {
	t.Helper()
	program, err := builtInit()
	require.NoError(t, err)
	return program
}

// drivers makes drivers of a test's own.
func drivers(t *testing.T) func(t *testing.T) sandbox.Driver {
	program := buildInit(t)
	return func(t *testing.T) sandbox.Driver {
		d, err := native.New(t.Context(), native.Config{Init: program, Token: filepath.Base(t.TempDir()) + "-" + filepath.Base(filepath.Dir(t.TempDir()))})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		return d
	}
}

func TestSuite(t *testing.T) { sandboxtest.Run(t, drivers(t)) }

// TestTemplateSuite holds copies of a template to what every sandbox promises.
func TestTemplateSuite(t *testing.T) { sandboxtest.RunTemplates(t, drivers(t)) }

// TestPrivateFoldersStayOutOfView names a folder that the view shows, and one that a mount does.
func TestPrivateFoldersStayOutOfView(t *testing.T) {
	program, token := buildInit(t), "private-"+filepath.Base(filepath.Dir(t.TempDir()))
	_, err := native.New(t.Context(), native.Config{Init: program, Token: token, Private: "/usr/local/hanshu"})
	require.ErrorContains(t, err, "/usr/local/hanshu")
	dir := t.TempDir()
	private := filepath.Join(dir, "data")
	code := filepath.Join(private, "code")
	require.NoError(t, os.MkdirAll(code, 0o755))
	d, err := native.New(t.Context(), native.Config{Init: program, Token: token, Private: private})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	for source, ok := range map[string]bool{code: true, private: false, dir: false} {
		in, err := d.Start(t.Context(), sandbox.Spec{
			Command: []string{"/bin/true"}, Dir: "/", Mounts: []sandbox.Mount{{Source: source, Target: "/opt/x"}},
			MemoryBytes: 64 << 20, Processes: 16, Files: 64, TmpBytes: 1 << 20,
		})
		require.Equal(t, ok, err == nil, "%s: %v", source, err)
		if err == nil {
			<-in.Done()
			in.Control().Close()
			in.Output().Close()
		}
	}
	if os.Geteuid() != 0 {
		return // templates take root
	}
	start := sandboxtest.StartCopies(t, d)
	s := guestSpec()
	s.Mounts = []sandbox.Mount{{Source: private, Target: "/opt/function/code"}}
	_, err = start(t.Context(), s, "pass")
	require.ErrorContains(t, err, private+" is above what no sandbox may see")
}

// TestSuiteAsOrdinaryUser runs the same suite without root's rights: the level an ordinary user gets.
func TestSuiteAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("already an ordinary user: TestSuite is this test")
		return
	}
	dir, err := os.MkdirTemp("", "hanshu-user-*")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "init"), buildInit(t), 0o755))
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	program := filepath.Join(dir, "suite")
	require.NoError(t, os.WriteFile(program, self, 0o755))
	if info, err := os.Stat(tundev.Path); err == nil { // most hosts let everybody make network devices in namespaces of their own
		require.NoError(t, os.Chmod(tundev.Path, 0o666))
		t.Cleanup(func() { require.NoError(t, os.Chmod(tundev.Path, info.Mode().Perm())) })
	}
	const nobody = 65534
	suite := exec.Command(program, "-test.run=^(TestSuite|TestTemplateSuite|TestGuards)$", "-test.v")
	suite.Dir = dir
	suite.Env = []string{"PATH=/usr/bin:/bin", "TMPDIR=" + dir, initVariable + "=" + filepath.Join(dir, "init")}
	suite.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	said, err := suite.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Contains(t, string(said), "--- PASS: TestSuite/walls")
	require.Contains(t, string(said), "--- PASS: TestGuards/fresh")
}

// TestGroupsOfAnotherPlaceAreRemoved: a server that was killed may be started again from another group, and still finds
// what it left; but nothing of another name.
func TestGroupsOfAnotherPlaceAreRemoved(t *testing.T) {
	root := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(root + "/tasks"); err != nil || os.Geteuid() != 0 {
		t.Log("needs cgroup v1 and root; on v2 the folders are found by the same file")
		return
	}
	elsewhere, err := os.MkdirTemp(root, "hanshu-elsewhere-*")
	require.NoError(t, err)
	t.Cleanup(func() { os.Remove(elsewhere) })
	token := filepath.Base(elsewhere)
	left, other := filepath.Join(elsewhere, "hanshu-"+token), filepath.Join(elsewhere, "others")
	require.NoError(t, os.MkdirAll(filepath.Join(left, "7"), 0o755))
	require.NoError(t, os.Mkdir(other, 0o755))
	t.Cleanup(func() { os.Remove(other) })
	record := filepath.Join(t.TempDir(), "groups")
	require.NoError(t, os.WriteFile(record, []byte(left+"\n"+other+"\n"), 0o600))

	d, err := native.New(t.Context(), native.Config{Init: buildInit(t), Token: token, Record: record})
	require.NoError(t, err)
	require.NoDirExists(t, left)
	require.DirExists(t, other)
	now, err := os.ReadFile(record)
	require.NoError(t, err)
	require.Contains(t, string(now), "/hanshu-"+token+"\n")
	require.NotContains(t, string(now), elsewhere)
	require.NoError(t, d.Close())
}
