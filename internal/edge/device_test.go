package edge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/test/need"
)

// mosquitto runs mosquitto_pub or mosquitto_sub as a device, and gives its output once it has ended, and how.
func (c *cloud) mosquitto(t testing.TB, program string, id wire.ID, login wire.Login, secret string, args ...string) (string, error) {
	t.Helper()
	out, err := c.client(t, t.Context(), program, id, login, secret, args...).CombinedOutput()
	return string(out), err
}

func (c *cloud) client(t testing.TB, ctx context.Context, program string, id wire.ID, login wire.Login, secret string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		need.Skip(t, program+" is missing; install the package mosquitto-clients")
	}
	host, port, err := net.SplitHostPort(c.address)
	require.NoError(t, err)
	return exec.CommandContext(ctx, path, append([]string{"-h", host, "-p", port, "-V", "mqttv311", "-q", "1", "-i", id.ClientID(), "-u", id.User(login), "-P", secret}, args...)...)
}

// TestMosquittoWill: a device of nobody here wrote is online while it is connected, and its end is told.
func TestMosquittoWill(t *testing.T) {
	c := newCloud(t)
	id, secret := c.gateway(t, "pumps", "one")
	gid := faas.GatewayID{Product: "pumps", SN: "one"}
	ctx, cancel := context.WithCancel(t.Context())
	sub := c.client(t, ctx, "mosquitto_sub", id, wire.LoginStatic, secret, "-v", "-t", id.Own()+"/#", "--will-topic", id.Topic(wire.Will), "--will-payload", `{"boot":"b"}`)
	out, err := sub.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, sub.Start())
	online := func(want bool) {
		eventually(t, func() bool {
			g, err := c.db.Gateway(t.Context(), gid)
			return err == nil && g.Online == want && !g.ActivatedAt.IsZero()
		})
	}
	online(true)
	urn := c.function(t, "f1")
	require.NoError(t, c.placed.Bind(t.Context(), project, urn, gid))
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), id.Topic(wire.Desired)+" "); ok && strings.HasPrefix(text, "{") {
			var e wire.Envelope
			require.NoError(t, wire.Decode([]byte(text), &e))
			break
		}
	}
	require.NoError(t, lines.Err())
	cancel() // killed, so without a word to the broker
	require.Error(t, sub.Wait())
	online(false)
	require.Equal(t, control.Unreported, c.status(t, id, "f1"))
}

// TestMosquittoACL: another's credentials and topics are refused.
func TestMosquittoACL(t *testing.T) {
	c := newCloud(t)
	one, secret := c.gateway(t, "pumps", "one")
	two, secretTwo := c.gateway(t, "pumps", "two")
	for name, tt := range map[string]struct {
		id     wire.ID
		login  wire.Login
		secret string
	}{
		"another's secret": {one, wire.LoginStatic, secretTwo}, "no secret": {one, wire.LoginStatic, ""},
		"as the product": {one, wire.LoginDynamic, secret}, "unknown": {wire.ID{Product: "pumps", Gateway: "none"}, wire.LoginStatic, secret},
	} {
		_, err := c.mosquitto(t, "mosquitto_pub", tt.id, tt.login, tt.secret, "-t", tt.id.Topic(wire.Hello), "-m", "{}")
		require.Error(t, err, name)
	}
	forged := `{"version":9,"state":"applied","functions":[],"at":1}`
	_, err := c.mosquitto(t, "mosquitto_pub", one, wire.LoginStatic, secret, "-t", two.Topic(wire.Reported), "-m", forged)
	require.Error(t, err, "the session is cut")
	_, err = c.mosquitto(t, "mosquitto_pub", one, wire.LoginStatic, secret, "-t", one.Topic(wire.Reported), "-m", forged)
	require.NoError(t, err)
	eventually(t, func() bool {
		g, err := c.db.Gateway(t.Context(), faas.GatewayID{Product: "pumps", SN: "one"})
		return err == nil && g.Report != nil && g.Report.Version == 9
	})
	g, err := c.db.Gateway(t.Context(), faas.GatewayID{Product: "pumps", SN: "two"})
	require.NoError(t, err)
	require.Nil(t, g.Report)
	text, _ := c.mosquitto(t, "mosquitto_sub", one, wire.LoginStatic, secret, "-t", two.Topic(wire.Desired), "-W", "5")
	require.Contains(t, text, "denied")
	// A will on another's topic would be as good as a message.
	_, err = c.mosquitto(t, "mosquitto_sub", one, wire.LoginStatic, secret, "-t", one.Topic(wire.Desired), "-W", "5", "--will-topic", two.Topic(wire.Reported), "--will-payload", forged)
	require.Error(t, err)
}

// TestMosquittoRegisters gets a device its secret by its product's (edge reference 1.5).
func TestMosquittoRegisters(t *testing.T) {
	c := newCloud(t)
	c.gateway(t, "pumps", "made")
	on := true
	require.NoError(t, c.placed.UpdateProduct(t.Context(), project, "pumps", control.ProductUpdate{Dynamic: &on}))
	p, err := c.placed.Product(t.Context(), project, "pumps")
	require.NoError(t, err)
	secret, err := c.placed.ProductSecret(&p)
	require.NoError(t, err)
	register := func(sn string) (a wire.PasswordAnswer) {
		t.Helper()
		id := wire.ID{Product: "pumps", Gateway: sn}
		sub := c.client(t, t.Context(), "mosquitto_rr", id, wire.LoginDynamic, secret, "-t", id.Password(), "-e", id.PasswordReply(), "-m", `{"RequestID":"7"}`, "-W", "15")
		text, err := sub.CombinedOutput()
		require.NoError(t, err, "%s", text)
		require.NoError(t, json.Unmarshal(text, &a), "%s", text)
		require.Equal(t, "7", a.RequestID)
		return a
	}
	login := func(sn, password string) bool {
		id := wire.ID{Product: "pumps", Gateway: sn}
		_, err := c.mosquitto(t, "mosquitto_pub", id, wire.LoginStatic, password, "-t", id.Topic(wire.Hello), "-m", "{}")
		return err == nil
	}
	a := register("fresh")
	require.Zero(t, a.RetCode, a.Message)
	require.True(t, login("fresh", a.Password))
	eventually(t, func() bool {
		g, err := c.db.Gateway(t.Context(), faas.GatewayID{Product: "pumps", SN: "fresh"})
		return err == nil && !g.ActivatedAt.IsZero()
	})
	a = register("fresh")
	require.NotZero(t, a.RetCode, "it has been here")
	require.Empty(t, a.Password)

	require.NoError(t, c.placed.UpdateProduct(t.Context(), project, "pumps", control.ProductUpdate{PreRegister: &on}))
	require.NotZero(t, register("unknown").RetCode)
	require.Zero(t, register("made").RetCode)
	off := false
	require.NoError(t, c.placed.UpdateProduct(t.Context(), project, "pumps", control.ProductUpdate{Dynamic: &off}))
	id := wire.ID{Product: "pumps", Gateway: "made"}
	_, err = c.mosquitto(t, "mosquitto_pub", id, wire.LoginDynamic, secret, "-t", id.Password(), "-m", "{}")
	require.Error(t, err)
}
