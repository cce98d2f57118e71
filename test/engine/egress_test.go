//go:build linux

package engine

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"testing"

	"encoding/base64"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
)

// What functions fetch with, in three languages; the third is the executable of the language suite.
const (
	pythonFetch = `
import socket, urllib.request
def handler(event, context):
    if event.get("raw"):
        try:
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            return "raw"
        except PermissionError:
            pass
        try:
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            return "packet"
        except OSError:
            return "refused"
    if event.get("must"):
        return urllib.request.urlopen(event["Text"], timeout=10).read().decode()
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(event["Text"], timeout=10).read().decode()
    except Exception as e:
        return "failed: %s" % e
`
	nodeFetch = `exports.handler = async (event) => {
  try { return await (await fetch(event.Text)).text(); } catch (e) { return 'failed: ' + (e.cause || e).message; }
};
`
)

// outside is a web server at an address of this machine that is not loopback.
func outside(t *testing.T) (at *url.URL, own netip.Addr) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			own = p.Addr()
		}
	}
	if !own.IsValid() {
		need.Skip(t, "this machine has no address but loopback, so no server can stand outside of a sandbox")
	}
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "outside %s", r.URL.Path) }))
	site.Listener.Close()
	site.Listener, err = net.Listen("tcp", net.JoinHostPort(own.String(), "0"))
	require.NoError(t, err)
	site.Start()
	t.Cleanup(site.Close)
	at, err = url.Parse(site.URL)
	require.NoError(t, err)
	return at, own
}

// deploy makes a function with an egress and, where that is not "", an isolation.
func (h *host) deploy(t *testing.T, f function, egress, isolation string) answer {
	t.Helper()
	request := h.request(f)
	request["egress"], request["isolation"] = egress, isolation
	if f.source == "" {
		program, err := executable()
		require.NoError(t, err, "%s", program)
		withZip(modeless(t, "bootstrap", program))(request)
		request["runtime"], request["handler"] = "Custom", "bootstrap"
	}
	a, err := h.post(t.Context(), request)
	require.NoError(t, err)
	return a
}

// fetch has a function fetch a URL, and gives what it answered.
func (h *host) fetch(t *testing.T, name, url string) string {
	t.Helper()
	question, err := json.Marshal(map[string]any{"Do": "fetch", "Text": url})
	require.NoError(t, err)
	a, err := h.invoke(t.Context(), name, question)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var text string
	require.NoError(t, json.Unmarshal(a.body, &text), "%s", a.body)
	return text
}

var fetchers = map[string]function{
	"python": {runtime: python, source: pythonFetch}, "node": {runtime: node, source: nodeFetch}, "go": {},
}

// TestEgress lets functions in three languages out, to what they list and to nothing else of this machine.
func TestEgress(t *testing.T) {
	t.Parallel()
	at, own := outside(t)
	h := newPlace(t, 0, "--egress-private="+own.String()).start(t)
	testEgress(t, h, at, own)
}

// TestEgressWithoutPrepared has every start be a whole one, or a copy.
func TestEgressWithoutPrepared(t *testing.T) {
	t.Parallel()
	at, own := outside(t)
	h := newPlace(t, 0, "--egress-private="+own.String(), "--prepared=0").start(t)
	testEgress(t, h, at, own)
}

// TestEgressAsOrdinaryUser: the init makes the device, where the host lets this user. Else it is refused.
func TestEgressAsOrdinaryUser(t *testing.T) {
	asNobody(t)
	t.Parallel()
	at, own := outside(t)
	h := newPlace(t, nobody, "--egress-private="+own.String()).start(t)
	a := h.deploy(t, function{name: "first", runtime: python, source: pythonFetch}, "open", "")
	if a.status == http.StatusBadRequest {
		require.Contains(t, string(a.body), "no way out to the network")
		t.Logf("%s", a.body)
		return
	}
	testEgress(t, h, at, own)
}

func testEgress(t *testing.T, h *host, at *url.URL, own netip.Addr) {
	api, err := url.Parse(h.Endpoint)
	require.NoError(t, err)
	for language, f := range fetchers {
		f.name = "listed-" + language
		a := h.deploy(t, f, at.Host, "")
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		require.Equal(t, "outside /x", h.fetch(t, f.name, at.String()+"/x"), language)
		require.Equal(t, "outside /y", h.fetch(t, f.name, at.String()+"/y"), language)
		shut := []string{
			"http://127.0.0.1:" + at.Port(), "http://[::1]:" + at.Port(), "http://169.254.169.254/latest/meta-data/", "http://0.0.0.0:" + at.Port(),
			"http://" + own.String() + ":" + api.Port(), "http://127.0.0.1:" + api.Port(), "http://198.18.0.2:8000", "http://198.18.0.1:80",
			"http://localhost:" + at.Port(), "http://8.8.8.8:1",
		}
		if language == "python" {
			shut = append(shut, "http://[::ffff:127.0.0.1]:"+at.Port(), "http://[64:ff9b::7f00:1]:"+at.Port(), "http://[fd00::2]:"+at.Port())
		}
		for _, to := range shut {
			require.Contains(t, h.fetch(t, f.name, to), "failed: ", "%s reached %s", language, to)
		}
		f.name = "open-" + language
		require.Equal(t, http.StatusOK, h.deploy(t, f, "open", "").status)
		require.Contains(t, h.fetch(t, f.name, at.String()), "failed: ", "an address of this host is not the internet, though the operator lets lists name it")
		f.name = "none-" + language
		require.Equal(t, http.StatusOK, h.deploy(t, f, "", "").status)
		require.Contains(t, h.fetch(t, f.name, at.String()), "failed: ")
	}
	a, err := h.invoke(t.Context(), "listed-python", []byte(`{"raw":true}`))
	require.NoError(t, err)
	require.Equal(t, `"refused"`, string(a.body))

	// What was refused stands in the log; and where there is no network at all, what to do about it.
	a, err = h.invoke(t.Context(), "open-python", []byte(`{"Text":"http://169.254.169.254/"}`))
	require.NoError(t, err)
	require.Contains(t, tail(t, a), "169.254.169.254:80 was refused")
	for _, to := range []string{"http://api.example.com/", "http://8.8.8.8/"} {
		a, err = h.invoke(t.Context(), "none-python", fmt.Appendf(nil, `{"must":true,"Text":%q}`, to))
		require.NoError(t, err)
		require.Equal(t, http.StatusInternalServerError, a.status)
		require.Contains(t, tail(t, a), "hanshu deploy --egress open", to)
	}
	testProjectWalls(t, h, at)
}

// testProjectWalls: what the operator sets for the project holds from the next call on, and beats functions where it is fixed.
func testProjectWalls(t *testing.T, h *host, at *url.URL) {
	set := func(body string) answer {
		a, err := h.do(t.Context(), http.MethodPut, "/admin/v1/projects/"+h.ProjectID+"/walls", []byte(body))
		require.NoError(t, err)
		return a
	}
	require.Equal(t, http.StatusOK, set(fmt.Sprintf(`{"egress":%q}`, at.Host)).status)
	require.Equal(t, "outside /", h.fetch(t, "none-python", at.String()))
	require.Equal(t, http.StatusOK, set(`{"egress":"none","egress_fixed":true}`).status)
	require.Contains(t, h.fetch(t, "none-python", at.String()), "failed: ")
	require.Contains(t, h.fetch(t, "listed-python", at.String()), "failed: ")
	a := h.deploy(t, function{name: "wants", runtime: python, source: pythonFetch}, "open", "")
	require.Equal(t, http.StatusForbidden, a.status, "%s", a.body)
	require.Equal(t, http.StatusOK, set(`{}`).status)
	require.Equal(t, "outside /", h.fetch(t, "listed-python", at.String()))
	require.Equal(t, http.StatusBadRequest, set(`{"egress":"a b"}`).status)
	require.Equal(t, http.StatusBadRequest, set(`{"isolation":"oci"}`).status, "this server has none")

	request := h.request(function{name: "vendor", runtime: python, source: pythonFetch})
	request["network_controller"], request["egress"] = map[string]any{"disable_public_network": true}, at.Host
	a, err := h.post(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Contains(t, h.fetch(t, "vendor", at.String()), "failed: ")
}

func tail(t *testing.T, a answer) string {
	log, err := base64.StdEncoding.DecodeString(a.header.Get("X-Cff-Function-Log"))
	require.NoError(t, err)
	return string(log)
}

// TestLevels: an OCI runtime beside the native level, for those that choose it.
func TestLevels(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("an OCI runtime takes root")
		return
	}
	t.Parallel()
	h := newPlace(t, 0, "--oci-runtime=/usr/sbin/runc").start(t)
	const where = `
def handler(event, context):
    with open("/proc/self/cgroup") as f:
        return f.read() + open("/proc/self/uid_map").read()
`
	uid := func(name string) string {
		a, err := h.invoke(t.Context(), name, []byte(`{}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		return string(a.body)
	}
	require.Equal(t, http.StatusOK, h.deploy(t, function{name: "native", runtime: python, source: where}, "", "native").status)
	require.Equal(t, http.StatusOK, h.deploy(t, function{name: "oci", runtime: python, source: where}, "", "oci").status)
	require.Contains(t, uid("native"), " 19000", "the users of the native level")
	require.Contains(t, uid("oci"), " 19500", "the users of the other")
	a := h.deploy(t, function{name: "both", runtime: python, source: where}, "open", "oci")
	require.Equal(t, http.StatusBadRequest, a.status)
	require.Contains(t, string(a.body), "no way out to the network")
	require.Equal(t, http.StatusBadRequest, h.deploy(t, function{name: "vm", runtime: python, source: where}, "", "vm").status)

	put, err := h.do(t.Context(), http.MethodPut, "/admin/v1/projects/"+h.ProjectID+"/walls", []byte(`{"isolation":"oci","isolation_fixed":true}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, put.status, "%s", put.body)
	require.Contains(t, uid("native"), " 19500")
}
