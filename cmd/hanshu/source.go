package main

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is what is to be deployed.
type source struct {
	*bundle
	path     string
	kind     string   // code_type: "zip" or "jar"
	name     string   // of the function, when nobody says otherwise
	handler  string   // likewise; "" where it cannot be told
	language language // zero where it cannot be told
	manifest manifest
}

// readSource reads a folder, a source file or a zip.
func readSource(c *cli, path string) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usagef("%v", err)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(whole)
	ending := filepath.Ext(base)
	s := &source{path: path, kind: "zip", name: strings.TrimSuffix(base, ending)}
	m := newMeter(c, "packing", -1)
	defer m.end()
	switch {
	case info.IsDir():
		s.name = base
		err = s.readFolder(m)
	case strings.EqualFold(ending, ".zip"):
		s.bundle, err = openZip(path)
	case strings.EqualFold(ending, ".jar"):
		s.bundle, err = openZip(path)
		s.kind, s.language = "jar", language{prefix: javaPrefix}
	case ending == ".java":
		return nil, usagef("a function in Java is sent compiled: javac -d FOLDER %s, then deploy FOLDER, or a jar", quote(path))
	default:
		i := slices.IndexFunc(languages(), func(l language) bool { return l.ending == ending })
		if i < 0 {
			return nil, usagef("%s is no folder, .py, .js, .php, .wasm, .zip or .jar", path)
		}
		s.bundle, err = packFile(path, m.add)
		s.handler = languages()[i].handler(s.name)
	}
	if err != nil {
		return nil, err
	}
	s.recognise(ending)
	return s, nil
}

func (s *source) readFolder(m *meter) error {
	var err error
	if s.manifest, err = readManifest(filepath.Join(s.path, manifestName)); err != nil {
		return err
	}
	ig, err := readIgnore(filepath.Join(s.path, ignoreName))
	if err != nil {
		return err
	}
	s.bundle, err = packFolder(s.path, ig, m.add)
	return err
}

// recognise finds the language by a single file's ending, or by index.* in a package. What
// a bootstrap is for, its owner has to say.
func (s *source) recognise(ending string) {
	for _, l := range languages() {
		if ending == l.ending && s.handler != "" {
			s.language = l
		} else if s.handler == "" && slices.Contains(s.files, "index"+l.ending) {
			s.language, s.handler = l, l.handler("index")
		}
	}
	if s.handler == "" && slices.Contains(s.files, bootstrapName) {
		s.handler = bootstrapName
	}
}

// wanted is what the function is to be. Zero values say nothing.
type wanted struct {
	manifest
	env map[string]string // beside or above UserData
}

// settings puts the flags above hanshu.json.
func (s *source) settings(flags manifest, env []string) (wanted, error) {
	m := s.manifest
	w := wanted{manifest: m, env: map[string]string{}}
	w.Name = cmp.Or(flags.Name, m.Name, s.name)
	w.Package = cmp.Or(flags.Package, m.Package, defaultPackage)
	w.Runtime = cmp.Or(flags.Runtime, m.Runtime)
	w.Handler = cmp.Or(flags.Handler, m.Handler)
	w.MemorySize = cmp.Or(flags.MemorySize, m.MemorySize)
	w.Timeout = cmp.Or(flags.Timeout, m.Timeout)
	w.Egress, w.Isolation, w.Agency = cmp.Or(flags.Egress, m.Egress), cmp.Or(flags.Isolation, m.Isolation), cmp.Or(flags.Agency, m.Agency)
	w.InitializerHandler = cmp.Or(flags.InitializerHandler, m.InitializerHandler)
	if flags.Dependencies != nil {
		w.Dependencies = flags.Dependencies
	}
	for _, pair := range env {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return w, usagef("--env %.60q must be NAME=VALUE", pair)
		}
		w.env[name] = text
	}
	if one := s.language.ending; one != "" && one == filepath.Ext(s.path) && w.Runtime != "" && !strings.HasPrefix(w.Runtime, s.language.prefix) {
		return w, usagef("a %s file is for %s, and not for runtime %.40q", one, s.language.prefix, w.Runtime)
	}
	return w, checkName(w.Name)
}

// userData is what the function's user data is to be, given what it has; nil to leave it.
func (w wanted) userData(has map[string]string) map[string]string {
	if w.UserData == nil && len(w.env) == 0 {
		return nil
	}
	data := w.UserData
	if data == nil {
		data = has
	}
	all := map[string]string{}
	maps.Copy(all, data)
	maps.Copy(all, w.env)
	return all
}
