package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// newRegistry is a registry in this process.
func newRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// open opens a store; limits may be the zero value.
func open(t *testing.T, limits Limits) *Store {
	t.Helper()
	s, err := Open(Config{Dir: filepath.Join(t.TempDir(), "images"), Dial: (&net.Dialer{}).DialContext, Limits: limits})
	require.NoError(t, err)
	return s
}

// entry is one thing in a layer; a folder ends with a slash, and target makes a symbolic link, or a hard one.
type entry struct {
	name, text, target string
	hard               bool
	mode               int64
	kind               byte
	size               int64 // claimed
}

func layerOf(t *testing.T, entries ...entry) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o600 | e.mode, Typeflag: e.kind, Linkname: e.target, Size: int64(len(e.text)) + e.size, Uid: 12345}
		switch {
		case e.kind != 0:
		case e.hard:
			h.Typeflag = tar.TypeLink
		case e.target != "":
			h.Typeflag = tar.TypeSymlink
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		default:
			h.Typeflag = tar.TypeReg
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write([]byte(e.text))
		require.NoError(t, err)
	}
	if entries[len(entries)-1].size == 0 {
		require.NoError(t, w.Close())
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
	require.NoError(t, err)
	return l
}

// push puts an image of layers into the registry.
func push(t *testing.T, ref string, config v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	require.NoError(t, err)
	file, err := img.ConfigFile()
	require.NoError(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	img, err = mutate.ConfigFile(img, file)
	require.NoError(t, err)
	put(t, ref, img)
	return img
}

func put(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	require.NoError(t, err)
	require.NoError(t, remote.Write(parsed, img))
}

// content lists what lies below a folder: files with their text, links with their target.
func content(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		rel, err := filepath.Rel(root, path)
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		switch {
		case e.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			all[rel] = "-> " + target
		case e.IsDir():
			require.Equal(t, fs.ModeDir|0o755, info.Mode(), rel)
		default:
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			all[rel] = fmt.Sprintf("%o %s", info.Mode(), text)
		}
		return nil
	}))
	for name := range made {
		delete(all, name)
	}
	return all
}

func TestPull(t *testing.T) {
	ref, s := newRegistry(t)+"/team/app:v1", open(t, Limits{})
	first := push(t, ref, v1.Config{Entrypoint: []string{"/app"}, Cmd: []string{"-v"}, Env: []string{"A=b"}, WorkingDir: "/srv"},
		layerOf(t,
			entry{name: "app", text: "program", mode: 0o4755}, entry{name: "usr/lib/deep/file", text: "1"}, entry{name: "lib", target: "usr/lib"},
			entry{name: "gone", text: "x"}, entry{name: "folder/gone", text: "x"}, entry{name: "folder/stays", text: "x"},
			entry{name: "opaque/a", text: "x"}, entry{name: "opaque/sub/b", text: "x"}, entry{name: "abs", target: "/usr/lib"},
			entry{name: "data/", mode: 0o700}, entry{name: "data/hard", hard: true, target: "app"}, entry{name: "null", kind: tar.TypeChar}, entry{name: "pipe", kind: tar.TypeFifo},
			entry{name: "was-file", text: "x"}, entry{name: "was-folder/in", text: "x"}, entry{name: "twice", text: "1"}, entry{name: "twice", text: "2"}),
		layerOf(t,
			entry{name: ".wh.gone"}, entry{name: "folder/.wh.gone"}, entry{name: "opaque/sub/new", text: "n"}, entry{name: "opaque/.wh..wh..opq"},
			entry{name: "./lib/deep/second", text: "2"}, entry{name: "abs/third", text: "3"}, entry{name: "/rooted", text: "4"},
			entry{name: "was-file/in", text: "y"}, entry{name: "was-folder", text: "y"}, entry{name: "also/.wh.none"}, entry{name: "late", text: "x"}, entry{name: ".wh.late"}))
	digest, size, err := s.Pull(t.Context(), ref)
	require.NoError(t, err)
	hash, err := first.Digest()
	require.NoError(t, err)
	require.Equal(t, hash.String(), digest)
	require.Positive(t, size)

	root, release, err := s.Root(t.Context(), ref, digest)
	require.NoError(t, err)
	require.Equal(t, faas.ImageRoot{Path: root.Path, Entrypoint: []string{"/app"}, Cmd: []string{"-v"}, Env: []string{"A=b"}, WorkingDir: "/srv"}, root)
	require.Equal(t, map[string]string{
		"app": "555 program", "usr/lib/deep/file": "444 1", "lib": "-> usr/lib", "folder/stays": "444 x", "opaque/sub/new": "444 n", "abs": "-> /usr/lib",
		"data/hard": "555 program", "usr/lib/deep/second": "444 2", "usr/lib/third": "444 3", "rooted": "444 4", "was-file/in": "444 y", "was-folder": "444 y", "twice": "444 2", "late": "444 x",
	}, content(t, root.Path))
	require.FileExists(t, filepath.Join(root.Path, "etc/hosts"))
	resolver, err := os.ReadFile(filepath.Join(root.Path, "etc/resolv.conf"))
	require.NoError(t, err)
	require.Equal(t, sandbox.ResolverFile, string(resolver))
	require.DirExists(t, filepath.Join(root.Path, "data"))

	// Another image under the same tag is another digest, and the first one stays what it was.
	push(t, ref, v1.Config{Cmd: []string{"/app"}}, layerOf(t, entry{name: "app", text: "program 2", mode: 0o755}))
	second, _, err := s.Pull(t.Context(), ref)
	require.NoError(t, err)
	require.NotEqual(t, digest, second)
	again, _, err := s.Root(t.Context(), ref, digest)
	require.NoError(t, err)
	require.Equal(t, root, again)

	// A sweep takes what nobody names; not what an instance runs from, nor what has just come.
	none := func(string) (bool, error) { return false, nil }
	n, err := s.Sweep(t.Context(), none, time.Hour)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = s.Sweep(t.Context(), func(d string) (bool, error) { return d == second, nil }, 0)
	require.NoError(t, err)
	require.Zero(t, n, "an instance runs from the first one")
	release()
	release()
	n, err = s.Sweep(t.Context(), none, 0)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the other user of the first one is left")
	require.DirExists(t, root.Path)
	_, err = os.Stat(s.folder(second))
	require.ErrorIs(t, err, fs.ErrNotExist)

	// What was lost is pulled again, by its digest and not by its tag.
	require.NoError(t, removeTree(s.folder(digest)))
	_, release, err = s.Root(t.Context(), ref, digest)
	require.NoError(t, err)
	release()
	require.FileExists(t, filepath.Join(root.Path, "app"))

	// A store that was killed in the middle begins with what is whole.
	require.NoError(t, os.MkdirAll(filepath.Join(s.cfg.Dir, tmpFolder, "unpack-1", "root"), 0o755))
	reopened, err := Open(s.cfg)
	require.NoError(t, err)
	left, err := os.ReadDir(filepath.Join(reopened.cfg.Dir, tmpFolder))
	require.NoError(t, err)
	require.Empty(t, left)
	require.FileExists(t, filepath.Join(root.Path, "app"))
}

// TestHostileLayers gives layers that mean ill: each is refused, or harmless, and nothing outside of the image changes.
func TestHostileLayers(t *testing.T) {
	host, outside := newRegistry(t), t.TempDir()
	secret := filepath.Join(outside, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o644))
	up := strings.Repeat("../", 12)
	small := Limits{Bytes: 1 << 20, Entries: 100, Layers: 4}
	many := make([]entry, 101)
	for i := range many {
		many[i] = entry{name: fmt.Sprintf("f%d", i)}
	}
	for name, c := range map[string]struct {
		layers [][]entry
		says   string // "" for one that is harmless
		code   faas.Code
		want   map[string]string
	}{
		"path that leads out":       {layers: [][]entry{{{name: up + secret[1:], text: "x"}}}, says: "leads out of it"},
		"path with dots inside":     {layers: [][]entry{{{name: "a/../../b", text: "x"}}}, says: "leads out of it"},
		"absolute path":             {layers: [][]entry{{{name: secret, text: "x"}}}, want: map[string]string{secret[1:]: "444 x"}},
		"file through a link":       {layers: [][]entry{{{name: "l", target: outside}, {name: "l/secret", text: "x"}}}, want: map[string]string{"l": "-> " + outside, secret[1:]: "444 x"}},
		"file through a link up":    {layers: [][]entry{{{name: "l", target: up + outside[1:]}, {name: "l/secret", text: "x"}}}, want: map[string]string{"l": "-> " + up + outside[1:], secret[1:]: "444 x"}},
		"link of a later layer":     {layers: [][]entry{{{name: "l", target: outside}}, {{name: "l/new", text: "x"}}}, want: map[string]string{"l": "-> " + outside, outside[1:] + "/new": "444 x"}},
		"whiteout through a link":   {layers: [][]entry{{{name: "l", target: outside}}, {{name: "l/.wh.secret"}, {name: "l/.wh..wh..opq"}}}, want: map[string]string{"l": "-> " + outside}},
		"whiteout of what is above": {layers: [][]entry{{{name: "a", text: "x"}}, {{name: ".wh.."}, {name: ".wh."}, {name: ".wh..."}}}, want: map[string]string{"a": "444 x"}},
		"hard link out":             {layers: [][]entry{{{name: "h", hard: true, target: secret}}}, says: "is no file of it"},
		"hard link up and out":      {layers: [][]entry{{{name: "h", hard: true, target: up + secret[1:]}}}, says: "is no file of it"},
		"hard link through a link":  {layers: [][]entry{{{name: "l", target: outside}, {name: "h", hard: true, target: "l/secret"}}}, says: "is no file of it"},
		"hard link to a link":       {layers: [][]entry{{{name: "l", target: secret}, {name: "h", hard: true, target: "l"}}}, want: map[string]string{"l": "-> " + secret, "h": "-> " + secret}},
		"hard link to a folder":     {layers: [][]entry{{{name: "d/"}, {name: "h", hard: true, target: "d"}}}, says: "is no file of it"},
		"links in circles":          {layers: [][]entry{{{name: "a", target: "b"}, {name: "b", target: "a"}, {name: "a/x", text: "x"}}}, says: "circles"},
		"file over its bytes":       {layers: [][]entry{{{name: "big", text: strings.Repeat("x", 1<<20+1)}}}, says: "over 1048576 bytes", code: faas.CodeTooLarge},
		"file that only claims":     {layers: [][]entry{{{name: "big", size: 1 << 40}}}, says: "over 1048576 bytes", code: faas.CodeTooLarge},
		"file cut short":            {layers: [][]entry{{{name: "short", size: 1000}}}, says: "cut short"},
		"too many files":            {layers: [][]entry{many}, says: "over 100 files", code: faas.CodeTooLarge},
		"too many folders":          {layers: [][]entry{{{name: strings.Repeat("a/", 200) + "f"}}}, says: "over 100 files", code: faas.CodeTooLarge},
		"too many layers":           {layers: [][]entry{{{name: "1"}}, {{name: "2"}}, {{name: "3"}}, {{name: "4"}}, {{name: "5"}}}, says: "5 layers", code: faas.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, small)
			var layers []v1.Layer
			for _, l := range c.layers {
				layers = append(layers, layerOf(t, l...))
			}
			ref := host + "/hostile:" + strings.ReplaceAll(name, " ", "-")
			push(t, ref, v1.Config{}, layers...)
			digest, _, err := s.Pull(t.Context(), ref)
			text, rerr := os.ReadFile(secret)
			require.NoError(t, rerr)
			require.Equal(t, "secret", string(text))
			left, rerr := os.ReadDir(outside)
			require.NoError(t, rerr)
			require.Len(t, left, 1)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				if c.code == "" {
					c.code = faas.CodeInvalid
				}
				require.Equal(t, c.code, faas.CodeOf(err))
				found, rerr := filepath.Glob(filepath.Join(s.cfg.Dir, "*", "*"))
				require.NoError(t, rerr)
				require.Empty(t, found, "a refused image leaves something behind")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, content(t, filepath.Join(s.folder(digest), rootFolder)))
		})
	}
}

func TestBomb(t *testing.T) {
	s, ref := open(t, Limits{Bytes: 1 << 20, Entries: 10, Layers: 4}), newRegistry(t)+"/bomb:1"
	// No file is large; what follows the last one is.
	zeros := io.LimitReader(zeroes{}, 64<<20)
	data, err := io.ReadAll(zeros)
	require.NoError(t, err)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	require.NoError(t, err)
	push(t, ref, v1.Config{}, l)
	_, _, err = s.Pull(t.Context(), ref)
	require.ErrorContains(t, err, "unpacks to more")
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRefused(t *testing.T) {
	host, s := newRegistry(t), open(t, Limits{})
	img := push(t, host+"/app:v1", v1.Config{}, layerOf(t, entry{name: "a"}))
	file, err := img.ConfigFile()
	require.NoError(t, err)
	change := func(tag string, alter func(*v1.ConfigFile)) string {
		f := file.DeepCopy()
		alter(f)
		other, err := mutate.ConfigFile(img, f)
		require.NoError(t, err)
		put(t, host+"/app:"+tag, other)
		return host + "/app:" + tag
	}
	for ref, says := range map[string]string{
		"":                        "is not the reference of an image",
		"UPPER/case":              "is not the reference",
		strings.Repeat("a", 600):  "over 512 characters",
		host + "/app:none":        "no such image",
		host + "/none:v1":         "no such image",
		"127.0.0.1:1/app:v1":      "could not be pulled",
		host + "/app@sha256:beef": "is not the reference",
		change("windows", func(f *v1.ConfigFile) { f.OS = "windows" }):                               "is for windows/",
		change("other", func(f *v1.ConfigFile) { f.Architecture = "m68k" }):                          "is for linux/m68k",
		change("lies", func(f *v1.ConfigFile) { f.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64) }): "is not what its configuration says",
		change("fewer", func(f *v1.ConfigFile) { f.RootFS.DiffIDs = nil }):                           "and its configuration tells of 0",
	} {
		_, _, err := s.Pull(t.Context(), ref)
		require.ErrorContains(t, err, says, ref)
		require.Contains(t, []faas.Code{faas.CodeInvalid, faas.CodeUnavailable}, faas.CodeOf(err))
	}
	s.cfg.Dial = nil
	guarded, err := Open(Config{Dir: t.TempDir(), Dial: func(context.Context, string, string) (net.Conn, error) { return nil, ErrGuarded }})
	require.NoError(t, err)
	_, _, err = guarded.Pull(t.Context(), host+"/app:v1")
	require.ErrorContains(t, err, "private, local or reserved")
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = s.Pull(ctx, host+"/app:v1")
	require.Equal(t, faas.CodeCancelled, faas.CodeOf(err))
}

func TestReadAuth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"auths":{"registry.example:5000":{"auth":"dXNlcjpwYXNz"}}}`), 0o600))
	auth, err := ReadAuth(path)
	require.NoError(t, err)
	c, err := authn.FromConfig(auth["registry.example:5000"]).Authorization()
	require.NoError(t, err)
	require.Equal(t, []string{"user", "pass"}, []string{c.Username, c.Password})
	auth, err = ReadAuth("")
	require.NoError(t, err)
	require.Empty(t, auth)
	_, err = ReadAuth(path + "x")
	require.Error(t, err)
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	_, err = ReadAuth(path)
	require.ErrorContains(t, err, "config.json")
}

func TestArgv(t *testing.T) {
	root := faas.ImageRoot{Entrypoint: []string{"/entry"}, Cmd: []string{"cmd"}}
	for _, c := range []struct {
		image faas.Image
		want  string
	}{
		{faas.Image{}, "/entry cmd"}, {faas.Image{Args: []string{"a"}}, "/entry a"}, {faas.Image{Command: []string{"/own"}}, "/own"},
		{faas.Image{Command: []string{"/own"}, Args: []string{"a", "b"}}, "/own a b"},
	} {
		require.Equal(t, c.want, strings.Join(c.image.Argv(root), " "))
	}
	require.Equal(t, []string{"/entry"}, slices.Clone(root.Entrypoint))
}
