package lang

import (
	"cmp"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// askTimeout bounds one start of an interpreter that is asked for its version.
const askTimeout = 10 * time.Second

// SearchDirs are the folders to look for interpreters in: those of a PATH, the system's, and /opt/*/bin. A folder of
// shims, as version managers put into the PATH, stands for the installs beside it (../versions/*/bin).
func SearchDirs(path string) []string {
	dirs := append(filepath.SplitList(path), "/usr/bin", "/usr/local/bin")
	if opt, err := filepath.Glob("/opt/*/bin"); err == nil {
		dirs = append(dirs, opt...)
	}
	var all []string
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue
		}
		all = append(all, filepath.Clean(dir))
		if filepath.Base(dir) != "shims" {
			continue
		}
		if beside, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "versions", "*", "bin")); err == nil {
			all = append(all, beside...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// FindInterpreters serves Language.Find: it looks in folders for programs whose file name matches, asks each with
// arguments that make it print its version on one line, its prefix folder on the next, and further folders that it reads on
// the lines below; it leaves out what is older than oldest ("major.minor").
func FindInterpreters(ctx context.Context, dirs []string, name *regexp.Regexp, oldest string, ask ...string) []Install {
	seen := map[string]bool{}
	var found []Install
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a folder of a PATH may be missing
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if !name.MatchString(e.Name()) {
				continue
			}
			if path, err = filepath.EvalSymlinks(path); err != nil || seen[path] {
				continue
			}
			seen[path] = true
			if in, ok := askInterpreter(ctx, path, ask); ok && compareVersions(in.Version, oldest) >= 0 {
				found = append(found, in)
			}
		}
	}
	SortInstalls(found)
	return found
}

// SortInstalls puts installs into the order of preference that Language.Find promises.
func SortInstalls(found []Install) { slices.SortStableFunc(found, preferred) }

// preferred orders installs: newer major.minor first, then the system's own, then the newer patch.
func preferred(a, b Install) int {
	return cmp.Or(
		compareVersions(shortVersion(b.Version), shortVersion(a.Version)),
		cmp.Compare(rank(a.Path), rank(b.Path)),
		compareVersions(b.Version, a.Version),
	)
}

func rank(path string) int {
	switch {
	case filepath.Dir(path) == "/usr/bin":
		return 0
	case strings.HasPrefix(path, "/usr/"):
		return 1
	}
	return 2
}

// askInterpreter starts a program once, in an empty environment, to learn what it is. Scripts (shims that choose a
// version by folder or environment) are not started.
func askInterpreter(ctx context.Context, path string, ask []string) (Install, bool) {
	if !isProgram(path) {
		return Install{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, ask...)
	cmd.Env = []string{} // nil would hand on ours
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return Install{}, false
	}
	version, rest, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if _, _, ok := parseVersion(shortVersion(version)); !ok {
		return Install{}, false
	}
	prefix, rest, _ := strings.Cut(rest, "\n")
	return Install{Path: path, Version: version, Roots: roots(path, prefix, strings.Split(rest, "\n"))}, true
}

// isProgram tells whether a file is an ELF executable.
func isProgram(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	_, err = io.ReadFull(f, magic[:])
	return err == nil && string(magic[:]) == "\x7fELF"
}

// roots are the folders to show for an interpreter: its own, the libraries under its prefix and those it reads beside. The
// whole prefix may be somebody's home, so it is not shown.
func roots(path, prefix string, beside []string) []string {
	var list []string
	for _, dir := range beside {
		if filepath.IsAbs(dir) && !strings.HasPrefix(dir, "/usr/") {
			list = append(list, dir)
		}
	}
	if strings.HasPrefix(path, "/usr/") {
		return list
	}
	list = append(list, filepath.Dir(path))
	for _, name := range []string{"lib", "lib64"} {
		dir, err := filepath.EvalSymlinks(filepath.Join(prefix, name))
		if err != nil || strings.HasPrefix(dir, "/usr/") || dir == "/" {
			continue
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			list = append(list, dir)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
