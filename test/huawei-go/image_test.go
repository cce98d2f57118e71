package huaweigo

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/huawei-go/server"
)

// layer packs files; a name that begins with ".wh." hides one of an earlier layer.
func layer(t *testing.T, files map[string][]byte) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, data := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o700, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
	require.NoError(t, err)
	return l
}

// webImage builds an image of a static web server, with a second layer that hides a part of the first, and pushes it.
func webImage(t *testing.T, ref string, program []byte, version string) string {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image,
		layer(t, map[string][]byte{"app/server": program, "app/hidden": []byte("x"), "etc/version": []byte(version), "opt/function/code/own": []byte("x")}),
		layer(t, map[string][]byte{"app/.wh.hidden": nil, "app/shown": []byte("x")}))
	require.NoError(t, err)
	file, err := img.ConfigFile()
	require.NoError(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{Entrypoint: []string{"server"}, Cmd: []string{"of", "the", "image"}, WorkingDir: "/app", Env: []string{"PATH=/app:/bin", "FROM_IMAGE=yes"}}
	img, err = mutate.ConfigFile(img, file)
	require.NoError(t, err)
	parsed, err := name.ParseReference(ref)
	require.NoError(t, err)
	require.NoError(t, remote.Write(parsed, img))
	digest, err := img.Digest()
	require.NoError(t, err)
	return digest.String()
}

func buildServer(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "server")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/webimage/main.go")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	program, err := os.ReadFile(out)
	require.NoError(t, err)
	return program
}

func imageBody(t *testing.T, name, ref string) *model.CreateFunctionRequestBody {
	return &model.CreateFunctionRequestBody{
		FuncName: name, Package: "default", Runtime: enum[model.CreateFunctionRequestBodyRuntime](t, "Custom Image"), Handler: "-",
		MemorySize: 256, Timeout: 5, CodeType: ptr(enum[model.CreateFunctionRequestBodyCodeType](t, "Custom-Image-Swr")),
		UserData: ptr(`{"mode":"test"}`), CustomImage: &model.CustomImage{Enabled: ptr(true), Image: ptr(ref)},
	}
}

// TestCustomImage is the life of a container image as a function.
func TestCustomImage(t *testing.T) {
	hub := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(hub.Close)
	host, program := strings.TrimPrefix(hub.URL, "http://"), buildServer(t)
	ref := host + "/team/app:live"
	first := webImage(t, ref, program, "1")

	s := server.Start(t, "--allow-private-code-urls=127.0.0.1")
	u := &user{FunctionGraphClient: newClient(t, s, s.AccessKey, s.SecretKey), server: s}
	body := imageBody(t, "image", ref)
	body.InitializerHandler, body.InitializerTimeout = ptr("-"), ptr(int32(5))
	urn := u.create(t, body)
	shown := u.show(t, urn)
	require.Equal(t, first, *shown.Digest)
	require.Equal(t, "Custom-Image-Swr", shown.CodeType.Value())
	require.Equal(t, ref, *shown.CustomImage.Image)
	require.Empty(t, *shown.CodeUrl)
	require.Greater(t, *shown.CodeSize, int64(1<<20))

	does := func(event map[string]any) string { t.Helper(); return u.answer(t, urn, event) }
	require.JSONEq(t, `{"n":1}`, does(map[string]any{"n": 1}))
	require.JSONEq(t, `"plain text"`, does(map[string]any{"do": "text"}))
	require.JSONEq(t, `{"uid":1003,"gid":1003,"dir":"/app","args":["of","the","image"],"image":"yes","mode":"test","inits":1,"name":"image"}`, does(map[string]any{"do": "who"}))
	require.JSONEq(t, `["app","dev","etc","opt","proc","tmp"]`, does(map[string]any{"do": "ls", "path": "/"}))
	require.JSONEq(t, `["server","shown"]`, does(map[string]any{"do": "ls", "path": "/app"}))
	require.JSONEq(t, `"1\u003cnil\u003e"`, does(map[string]any{"do": "read", "path": "/etc/version"}))
	require.Contains(t, does(map[string]any{"do": "write", "path": "/app/new"}), "read-only")
	require.Contains(t, does(map[string]any{"do": "write", "path": "/opt/function/runtime/image/adaptor"}), "read-only")
	require.JSONEq(t, `"\u003cnil\u003e"`, does(map[string]any{"do": "write", "path": "/tmp/new"}))

	fails := func(event map[string]any, says string) {
		t.Helper()
		r, err := u.invoke(urn, event)
		require.NoError(t, err)
		require.NotEqualValues(t, 200, *r.Status)
		require.Contains(t, *r.Result, says)
	}
	fails(map[string]any{"do": "status"}, "status 502: out of cheese")
	fails(map[string]any{"do": "exit"}, "exited with code 3")
	fails(map[string]any{"do": "hang"}, "did not finish within 5 seconds")
	require.JSONEq(t, `{"n":2}`, does(map[string]any{"n": 2}))

	// The tag moves on, and the function does not until its code is updated.
	second := webImage(t, ref, program, "2")
	require.JSONEq(t, `"1\u003cnil\u003e"`, does(map[string]any{"do": "read", "path": "/etc/version"}))
	_, err := u.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, ContentType: "application/json", Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: enum[model.UpdateFunctionCodeRequestBodyCodeType](t, "Custom-Image-Swr"),
	}})
	require.NoError(t, err)
	require.Equal(t, second, *u.show(t, urn).Digest)
	require.JSONEq(t, `"2\u003cnil\u003e"`, does(map[string]any{"do": "read", "path": "/etc/version"}))

	// Another command, user and image by the configuration.
	third := webImage(t, host+"/team/app:next", program, "3")
	config := &model.UpdateFunctionConfigRequestBody{
		FuncName: "image", Runtime: enum[model.UpdateFunctionConfigRequestBodyRuntime](t, "Custom Image"), Handler: "-", MemorySize: 256, Timeout: 5,
		CustomImage: &model.CustomImage{
			Enabled: ptr(true), Image: ptr(host + "/team/app:next"), Command: ptr("/app/server"), Args: ptr("-v, two"), WorkingDir: ptr("/etc"), Uid: ptr("2000"), Gid: ptr("3000"),
		},
	}
	u.update(t, urn, config)
	require.Equal(t, third, *u.show(t, urn).Digest)
	require.JSONEq(t, `{"uid":2000,"gid":3000,"dir":"/etc","args":["-v","two"],"image":"yes","mode":"test","inits":1,"name":"image"}`, does(map[string]any{"do": "who"}))

	// It is there again after the server was killed.
	var roots []string
	roots, err = filepath.Glob(filepath.Join(s.DataDir, "images", strings.Repeat("[0-9a-f]", 64), "root"))
	require.NoError(t, err)
	require.Len(t, roots, 3)
	_, err = u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
}

// TestCustomImageRefused holds an image to its rules.
func TestCustomImageRefused(t *testing.T) {
	hub := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(hub.Close)
	host := strings.TrimPrefix(hub.URL, "http://")
	ref := host + "/team/app:live"
	webImage(t, ref, buildServer(t), "1")
	s := server.Start(t, "--allow-private-code-urls=127.0.0.1")
	u := &user{FunctionGraphClient: newClient(t, s, s.AccessKey, s.SecretKey), server: s}
	for name, change := range map[string]func(*model.CreateFunctionRequestBody){
		"none":      func(b *model.CreateFunctionRequestBody) { b.CustomImage.Image = ptr(host + "/team/none:live") },
		"disabled":  func(b *model.CreateFunctionRequestBody) { b.CustomImage.Enabled = ptr(false) },
		"absent":    func(b *model.CreateFunctionRequestBody) { b.CustomImage = nil },
		"root":      func(b *model.CreateFunctionRequestBody) { b.CustomImage.Uid = ptr("0") },
		"no number": func(b *model.CreateFunctionRequestBody) { b.CustomImage.Gid = ptr("staff") },
		"relative":  func(b *model.CreateFunctionRequestBody) { b.CustomImage.WorkingDir = ptr("app") },
	} {
		body := imageBody(t, "refused", ref)
		change(body)
		_, err := u.CreateFunction(&model.CreateFunctionRequest{ContentType: "application/json", Body: body})
		refused(t, err, 400, "FSS.1034")
		require.NotEmpty(t, name)
	}
	body := imageBody(t, "handler", ref)
	body.Handler = "index.handler"
	_, err := u.CreateFunction(&model.CreateFunctionRequest{ContentType: "application/json", Body: body})
	refused(t, err, 400, "FSS.1003")

	// What starts badly says so.
	for says, change := range map[string]func(*model.CreateFunctionRequestBody){
		"has no file /app/none": func(b *model.CreateFunctionRequestBody) { b.CustomImage.Command = ptr("/app/none") },
		"no program none":       func(b *model.CreateFunctionRequestBody) { b.CustomImage.Command = ptr("none") },
		"no folder /srv":        func(b *model.CreateFunctionRequestBody) { b.CustomImage.WorkingDir = ptr("/srv") },
		"is not a program":      func(b *model.CreateFunctionRequestBody) { b.CustomImage.Command = ptr("/app") },
		"POST /init with status 418: no licence": func(b *model.CreateFunctionRequestBody) {
			b.UserData, b.InitializerHandler, b.InitializerTimeout = ptr(`{"FAIL_INIT":"1"}`), ptr("-"), ptr(int32(5))
		},
	} {
		body := imageBody(t, "bad", ref)
		change(body)
		urn := u.create(t, body)
		r, err := u.invoke(urn, map[string]any{})
		require.NoError(t, err)
		require.Contains(t, *r.Result, says)
		_, err = u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: "application/json"})
		require.NoError(t, err)
	}

	// A server that may not reach the registry does not.
	other := server.Start(t)
	closed := newClient(t, other, other.AccessKey, other.SecretKey)
	_, err = closed.CreateFunction(&model.CreateFunctionRequest{ContentType: "application/json", Body: imageBody(t, "private", ref)})
	e := refused(t, err, 400, "FSS.1034")
	require.Contains(t, e.ErrorMessage, "private, local or reserved")
}
