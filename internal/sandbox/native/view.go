//go:build linux

package native

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// User and group inside every sandbox, as FunctionGraph's container functions have them (reference 5.6).
const innerID = 1003

// memoryFolders are the writable places, each a memory filesystem.
var memoryFolders = [2]string{"/tmp", "/dev/shm"}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

var devLinks = [][2]string{
	{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
}

// view is the part of an init specification that is the same for every sandbox on this host.
type view struct {
	binds []initspec.Bind
	links [][2]string
}

// hostView looks at the host once. A folder that is a link there (/bin -> usr/bin) is the same link inside.
func hostView() view {
	var v view
	for _, dir := range sandbox.SystemFolders() {
		info, err := os.Lstat(dir)
		if err != nil {
			continue
		}
		if info.Mode()&os.ModeSymlink != 0 {
			if target, err := os.Readlink(dir); err == nil {
				v.links = append(v.links, [2]string{target, dir})
			}
			continue
		}
		v.binds = append(v.binds, initspec.Bind{Source: dir, Target: dir})
	}
	for _, path := range sandbox.SystemFiles() {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		if info, err := os.Stat(real); err == nil {
			v.binds = append(v.binds, initspec.Bind{Source: real, Target: path, File: !info.IsDir()})
		}
	}
	v.links = append(v.links, devLinks...)
	return v
}

// initSpec puts the common view, or that of a root of its own, and one Spec together. Mounts that the host view already shows
// are left out.
func (v view) initSpec(spec sandbox.Spec, tmp string, filter []byte) (initspec.Spec, error) {
	s := initspec.Spec{
		Command: spec.Command, Env: spec.Env, Dir: spec.Dir, Host: "function", Devices: devices,
		Tmp: []initspec.Tmpfs{
			{Target: memoryFolders[0], Data: tmp}, {Target: memoryFolders[1], Data: tmp},
		},
		Folders: spec.Empty, Filter: filter,
	}
	if spec.Root == "" {
		s.Binds, s.Links, s.Files = append([]initspec.Bind(nil), v.binds...), v.links, sandbox.MadeFiles()
	} else if err := showRoot(&s, spec); err != nil {
		return s, err
	}
	for _, m := range spec.Mounts {
		if spec.Root != "" || !v.shows(m) {
			s.Binds = append(s.Binds, initspec.Bind{Source: m.Source, Target: m.Target})
		}
	}
	return s, nil
}

// maxRootEntries bounds what a root has beside its folders at its top, and in folders on the way to a place of the driver's.
const maxRootEntries = 200

// showRoot shows each entry of a root for itself, so that the places of the driver's own lie in a view that the root has no say
// in: none of its links is followed out here.
func showRoot(s *initspec.Spec, spec sandbox.Spec) error {
	places := append([]string{"/dev", "/proc", "/sys", memoryFolders[0]}, spec.Empty...)
	for _, m := range spec.Mounts {
		places = append(places, m.Target)
	}
	s.Links = append([][2]string(nil), devLinks...)
	s.Folders = append([]string(nil), spec.Empty...)
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := os.ReadDir(spec.Root + dir)
		if err != nil {
			return fmt.Errorf("show root: %w", err)
		}
		for _, e := range entries {
			path := dir + "/" + e.Name()
			within := slices.ContainsFunc(places, func(p string) bool { return strings.HasPrefix(p, path+"/") })
			switch {
			case slices.Contains(places, path), within && !e.IsDir():
			case within:
				s.Folders = append(s.Folders, path)
				err = walk(path)
			case e.Type()&os.ModeSymlink != 0:
				var target string
				target, err = os.Readlink(spec.Root + path)
				s.Links = append(s.Links, [2]string{target, path})
			default:
				s.Binds = append(s.Binds, initspec.Bind{Source: spec.Root + path, Target: path, File: !e.IsDir()})
			}
			if err != nil {
				return fmt.Errorf("show root: %w", err)
			}
			if len(s.Binds)+len(s.Links) > maxRootEntries {
				return fmt.Errorf("show root: there are over %d entries in / or on the way to %s", maxRootEntries, places[len(places)-1])
			}
		}
		return nil
	}
	return walk("")
}

func (v view) shows(m sandbox.Mount) bool {
	if m.Source != m.Target {
		return false
	}
	for _, b := range v.binds {
		if b.Target == m.Target || strings.HasPrefix(m.Target, b.Target+"/") {
			return true
		}
	}
	return false
}

// realPath resolves the links of a path as far as it exists; "" stays "".
func realPath(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// shows tells whether a folder holds a path, or is it.
func shows(folder, path string) bool {
	return path != "" && (path == folder || strings.HasPrefix(path, folder+"/"))
}

// tmpfsData are the mount options of a memory filesystem for a function.
func (d *Driver) tmpfsData(bytes int64) string {
	data := "mode=1777"
	if !d.lacks(initspec.TmpBytes) {
		data += ",size=" + strconv.FormatInt(bytes, 10)
	}
	if !d.lacks(initspec.TmpNames) {
		data += ",nr_inodes=100000"
	}
	return data
}
