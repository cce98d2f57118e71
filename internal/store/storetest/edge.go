package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

var edgeTime = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

func edgeProduct(t *testing.T, db *store.DB, sn string) *faas.Product {
	t.Helper()
	p := &faas.Product{SN: sn, Project: "p", Name: "产品", Description: "d", SealedSecret: []byte{0, 1}, Dynamic: true, CreatedAt: edgeTime}
	require.NoError(t, db.CreateProduct(t.Context(), p))
	return p
}

func edgeGateway(t *testing.T, db *store.DB, product, sn string) *faas.Gateway {
	t.Helper()
	g := &faas.Gateway{GatewayID: faas.GatewayID{Product: product, SN: sn}, Project: "p", Description: "d", SealedSecret: []byte{9}, CreatedAt: edgeTime}
	require.NoError(t, db.CreateGateway(t.Context(), g))
	return g
}

func code(t *testing.T, want faas.Code, field string, err error) {
	t.Helper()
	var e *faas.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, []string{string(want), field}, []string{string(e.Code), e.Field}, e.Message)
}

// testGateways is the life of products and gateways.
func testGateways(t *testing.T, url string) {
	db, ctx := Open(t, url), t.Context()
	p := edgeProduct(t, db, "p1")
	got, err := db.Product(ctx, "p1")
	require.NoError(t, err)
	require.Equal(t, *p, got)
	code(t, faas.CodeExists, "product", db.CreateProduct(ctx, &faas.Product{SN: "p1", Project: "q", SealedSecret: []byte{1}, CreatedAt: edgeTime}))
	require.NoError(t, db.UpdateProduct(ctx, "p1", func(p *faas.Product) error {
		p.PreRegister, p.Name = true, "n"
		return nil
	}))
	code(t, faas.CodeNotFound, "product", db.UpdateProduct(ctx, "none", nil))
	all, err := db.Products(ctx, "p")
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.True(t, all[0].PreRegister)

	names, err := db.ProductSNs(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"p1"}, names)

	g := edgeGateway(t, db, "p1", "g1")
	code(t, faas.CodeExists, "gateway", db.CreateGateway(ctx, g))
	code(t, faas.CodeNotFound, "product", db.CreateGateway(ctx, &faas.Gateway{GatewayID: faas.GatewayID{Product: "p1", SN: "g"}, Project: "q"}))
	edgeGateway(t, db, "p1", "g2")
	back, err := db.Gateway(ctx, g.GatewayID)
	require.NoError(t, err)
	require.Equal(t, *g, back)
	code(t, faas.CodeNotFound, "gateway", func() error { _, err := db.Gateway(ctx, faas.GatewayID{Product: "p1", SN: "\x00"}); return err }())
	list, n, err := db.Gateways(ctx, faas.GatewayFilter{Project: "p", Product: "p1", SNPart: "g", Offset: 1, Limit: 5})
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Len(t, list, 1)
	require.Equal(t, "g2", list[0].SN)
	_, n, err = db.Gateways(ctx, faas.GatewayFilter{Project: "q"})
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = db.UpdateGateway(ctx, g.GatewayID, func(g *faas.Gateway) error {
		g.Disabled, g.SealedSecret = true, []byte{7}
		return nil
	})
	require.NoError(t, err)

	report := &faas.GatewayReport{
		Boot: "b", Version: 3, Good: 2, State: faas.GatewayPending, StartedAt: edgeTime, CmdSeq: 4,
		Functions: []faas.GatewayFunction{{Name: "f", State: faas.GatewayFunctionRunning, LastRun: edgeTime, Message: "a\x00b"}},
		Refused:   []faas.GatewayRefusal{{Version: 1, Reason: "older", At: edgeTime}}, Routes: []faas.GatewayRoute{{ID: 1, Queued: 2}},
	}
	require.NoError(t, db.MarkGateways(ctx, []faas.GatewayMark{
		{GatewayID: g.GatewayID, At: edgeTime, Online: true}, {GatewayID: g.GatewayID, At: edgeTime.Add(time.Second), Report: report},
		{GatewayID: faas.GatewayID{Product: "p1", SN: "gone"}, At: edgeTime, Online: true},
	}))
	back, err = db.Gateway(ctx, g.GatewayID)
	require.NoError(t, err)
	require.Equal(t, report, back.Report)
	require.True(t, back.Online && back.Disabled && back.ActivatedAt.Equal(edgeTime))
	require.NoError(t, db.GatewaysGone(ctx, edgeTime.Add(time.Second), edgeTime.Add(time.Minute)))
	back, err = db.Gateway(ctx, g.GatewayID)
	require.NoError(t, err)
	require.True(t, back.Online, "heard of since")
	require.NoError(t, db.GatewaysGone(ctx, time.Time{}, edgeTime.Add(time.Minute)))
	back, err = db.Gateway(ctx, g.GatewayID)
	require.NoError(t, err)
	require.False(t, back.Online)
	require.Equal(t, edgeTime.Add(time.Minute), back.LeftAt)

	code(t, faas.CodeConflict, "product", db.DeleteProduct(ctx, "p1"))
	require.NoError(t, db.DeleteGateway(ctx, g.GatewayID))
	code(t, faas.CodeNotFound, "gateway", db.DeleteGateway(ctx, g.GatewayID))
	require.NoError(t, db.DeleteGateway(ctx, faas.GatewayID{Product: "p1", SN: "g2"}))
	require.NoError(t, db.DeleteProduct(ctx, "p1"))
	code(t, faas.CodeNotFound, "product", db.DeleteProduct(ctx, "p1"))
}

// testBindings binds, sets and unbinds.
func testBindings(t *testing.T, url string) {
	db, ctx := Open(t, url), t.Context()
	edgeProduct(t, db, "p1")
	edgeGateway(t, db, "p1", "g1")
	edgeGateway(t, db, "p1", "g2")
	f := function("p", "f")
	create(t, db, f)
	key := f.Key()
	key.Version = ""
	at := func(sn string) faas.GatewayBinding {
		return faas.GatewayBinding{Function: key, GatewayID: faas.GatewayID{Product: "p1", SN: sn}, BoundAt: edgeTime}
	}
	require.NoError(t, db.Bind(ctx, at("g1"), 1))
	require.NoError(t, db.Bind(ctx, at("g1"), 1), "again")
	other := function("p", "other")
	create(t, db, other)
	b := at("g1")
	b.Function.Name = "other"
	code(t, faas.CodeQuota, "gateway", db.Bind(ctx, b, 1))
	b.Function.Name = "none"
	code(t, faas.CodeNotFound, "function", db.Bind(ctx, b, 1))
	code(t, faas.CodeNotFound, "gateway", db.Bind(ctx, at("none"), 1))
	b = at("")
	b.Product = "none"
	code(t, faas.CodeNotFound, "product", db.Bind(ctx, b, 1))
	require.NoError(t, db.Bind(ctx, at(""), 1))
	code(t, faas.CodeConflict, "binding", db.DeleteFunction(ctx, key))
	code(t, faas.CodeConflict, "gateway", db.DeleteGateway(ctx, faas.GatewayID{Product: "p1", SN: "g1"}))

	set := faas.GatewaySetting{Cron: "* * * * *", CronEnable: true, Config: `{"a":1}`}
	for _, sn := range []string{"", "g1", "g2"} {
		require.NoError(t, db.SetGatewaySetting(ctx, key, at(sn).GatewayID, set))
	}
	code(t, faas.CodeNotFound, "binding", db.SetGatewaySetting(ctx, other.Key(), at("g1").GatewayID, set))
	settings, err := db.GatewaySettings(ctx, faas.BindingFilter{Project: "p", Product: "p1", SN: "g2"})
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]faas.GatewaySetting{"f": {"": set, "g2": set}}, settings)
	list, err := db.GatewayBindings(ctx, faas.BindingFilter{Project: "p", Product: "p1", SN: "g2"})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, &set, list[0].Setting)
	list, err = db.GatewayBindings(ctx, faas.BindingFilter{Project: "p", Package: f.Package, Name: "f"})
	require.NoError(t, err)
	require.Len(t, list, 2)

	require.NoError(t, db.Unbind(ctx, at("")))
	code(t, faas.CodeNotFound, "binding", db.Unbind(ctx, at("")))
	settings, err = db.GatewaySettings(ctx, faas.BindingFilter{Project: "p", Product: "p1"})
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]faas.GatewaySetting{"f": {"g1": set}}, settings, "the setting of a gateway that is bound itself stays")
	require.NoError(t, db.Unbind(ctx, at("g1")))
	settings, err = db.GatewaySettings(ctx, faas.BindingFilter{Project: "p", Product: "p1"})
	require.NoError(t, err)
	require.Empty(t, settings)
	require.NoError(t, db.DeleteFunction(ctx, key))

	r := faas.MessageRoute{Project: "p", GatewayID: at("g1").GatewayID, Name: "路由", From: faas.RouteLocal, To: faas.RouteFunction, ToID: "f", Topic: "/#", TopicKind: "user", Cached: true, CreatedAt: edgeTime}
	require.NoError(t, db.PutMessageRoute(ctx, &r, 1))
	more := r
	more.ID = 0
	code(t, faas.CodeQuota, "routes", db.PutMessageRoute(ctx, &more, 1))
	r.Disabled = true
	require.NoError(t, db.PutMessageRoute(ctx, &r, 1))
	routes, err := db.MessageRoutes(ctx, r.GatewayID)
	require.NoError(t, err)
	require.Equal(t, []faas.MessageRoute{r}, routes)
	code(t, faas.CodeNotFound, "route", db.DeleteMessageRoutes(ctx, r.GatewayID, []int64{r.ID, 77}))
	require.NoError(t, db.DeleteMessageRoutes(ctx, r.GatewayID, []int64{r.ID}))

	d := faas.Deployment{Project: "p", GatewayID: r.GatewayID, Version: 4, CreatedAt: edgeTime}
	require.NoError(t, db.CreateDeployment(ctx, &d))
	got, err := db.Deployment(ctx, "p", d.ID)
	require.NoError(t, err)
	require.Equal(t, d, got)
	_, err = db.Deployment(ctx, "q", d.ID)
	code(t, faas.CodeNotFound, "deployment", err)

	sums, err := db.PackageSums(ctx, "d")
	require.NoError(t, err)
	require.Zero(t, sums)
	require.NoError(t, db.SavePackageSums(ctx, "d", faas.PackageSums{SHA256: "s", MD5: "m"}))
	sums, err = db.PackageSums(ctx, "d")
	require.NoError(t, err)
	require.Equal(t, faas.PackageSums{SHA256: "s", MD5: "m"}, sums)
}

// testDesired gives versions.
func testDesired(t *testing.T, url string) {
	db, ctx := Open(t, url), t.Context()
	edgeProduct(t, db, "p1")
	id := edgeGateway(t, db, "p1", "g1").GatewayID
	set := func(hash string, above uint64, want uint64, changed bool) {
		t.Helper()
		v, err := db.SetDesired(ctx, []faas.Desired{{GatewayID: faas.GatewayID{Product: "p1", SN: "none"}, Hash: hash}, {GatewayID: id, Hash: hash, Above: above}}, edgeTime)
		require.NoError(t, err)
		require.Zero(t, v[0].Version)
		require.Equal(t, []any{want, changed}, []any{v[1].Version, v[1].Changed})
	}
	set("", 0, 1, true)
	set("", 0, 1, false)
	set("a", 0, 2, true)
	set("a", 2, 2, false)
	set("a", 9, 10, true)
	set("b", 4, 11, true)

	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			_, err := db.SetDesired(ctx, []faas.Desired{{GatewayID: id, Hash: fmt.Sprint(i)}}, edgeTime)
			require.NoError(t, err)
		})
	}
	wait.Wait()
	g, err := db.Gateway(ctx, id)
	require.NoError(t, err)
	require.EqualValues(t, 19, g.Version)
}

// testGatewayCommands is the outbox, and what comes the other way.
func testGatewayCommands(t *testing.T, url string) {
	db, ctx := Open(t, url), t.Context()
	edgeProduct(t, db, "p1")
	id := edgeGateway(t, db, "p1", "g1").GatewayID
	command := func() faas.GatewayCommand {
		return faas.GatewayCommand{GatewayID: id, ID: uuid.NewString(), Kind: "logs", Body: []byte(`{}`), CreatedAt: edgeTime, ExpiresAt: edgeTime.Add(time.Hour)}
	}
	one, two, three := command(), command(), command()
	require.NoError(t, db.AddGatewayCommand(ctx, &one, 2))
	require.NoError(t, db.AddGatewayCommand(ctx, &two, 2))
	require.Equal(t, []uint64{1, 2}, []uint64{one.Seq, two.Seq})
	code(t, faas.CodeOverload, "commands", db.AddGatewayCommand(ctx, &three, 2))
	open, err := db.OpenGatewayCommands(ctx, id, edgeTime)
	require.NoError(t, err)
	require.Equal(t, []faas.GatewayCommand{one, two}, open)

	end := one
	end.EndedAt, end.OK, end.Result = edgeTime, true, []byte(`{"text":"x"}`)
	for _, want := range []bool{true, false} {
		ended, err := db.EndGatewayCommand(ctx, end)
		require.NoError(t, err)
		require.Equal(t, want, ended)
	}
	wrong := end
	wrong.Seq, wrong.ID = two.Seq, one.ID
	ended, err := db.EndGatewayCommand(ctx, wrong)
	require.NoError(t, err)
	require.False(t, ended)
	require.NoError(t, db.RaiseGatewaySeq(ctx, id, 40))
	require.NoError(t, db.AddGatewayCommand(ctx, &three, 2))
	require.EqualValues(t, 41, three.Seq)
	require.NoError(t, db.SweepGatewayCommands(ctx, edgeTime.Add(time.Hour), edgeTime))
	open, err = db.OpenGatewayCommands(ctx, id, edgeTime)
	require.NoError(t, err)
	require.Empty(t, open)

	messages := func(seqs ...uint64) (all []faas.GatewayMessage) {
		for _, seq := range seqs {
			all = append(all, faas.GatewayMessage{Seq: seq, Route: 1, Topic: "/a", Payload: []byte{0, byte(seq)}, At: edgeTime})
		}
		return all
	}
	add := func(stream string, want []uint64, last uint64, seqs ...uint64) {
		t.Helper()
		kept, got, err := db.AddGatewayMessages(ctx, id, stream, messages(seqs...), 3)
		require.NoError(t, err)
		var found []uint64
		for _, m := range kept {
			found = append(found, m.Seq)
		}
		require.Equal(t, want, found)
		require.Equal(t, last, got)
	}
	add("s", []uint64{1, 2}, 2, 1, 2)
	add("s", []uint64{5}, 5, 1, 2, 5)
	add("s", nil, 5, 4)
	add("t", []uint64{1}, 1, 1)
	list, err := db.GatewayMessages(ctx, id, 10)
	require.NoError(t, err)
	require.Equal(t, append(messages(2, 5), messages(1)...), list, "the youngest three")
}
