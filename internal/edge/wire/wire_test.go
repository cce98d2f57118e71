package wire_test

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func document() wire.Document {
	return wire.Document{Version: 7, Product: "p1", Gateway: "g1", IssuedAt: 1790000000000, Functions: []wire.Function{{
		ID: 3, Name: "f3", Runtime: "Python3.9", Handler: "index.handler", Contract: "edge", Config: json.RawMessage(`{"a":"<&>"}`),
		Code: wire.Code{Digest: strings.Repeat("0a", 32), Size: 12, Format: wire.FormatSource, Filename: "index.py"},
		Env:  map[string]string{"b": "2", "a": "1"},
	}}, Routes: []wire.Route{{ID: 1, From: wire.PlaceLocal, Filter: "/#", To: wire.PlaceCloud, Cache: &wire.Cache{Messages: 10}}}}
}

func TestOpen(t *testing.T) {
	signed, err := wire.Seal(document(), "k1", key('a'))
	require.NoError(t, err)
	keys := map[string]ed25519.PublicKey{"k1": public(key('a'))}
	id := wire.ID{Product: "p1", Gateway: "g1"}
	for name, tt := range map[string]struct {
		change   func(*wire.Envelope)
		keys     map[string]ed25519.PublicKey
		id       wire.ID
		accepted uint64
		want     error
	}{
		"good":                  {accepted: 6},
		"first":                 {},
		"same":                  {accepted: 7, want: wire.ErrSame},
		"replayed":              {accepted: 8, want: wire.ErrOlder},
		"of another gateway":    {id: wire.ID{Product: "p1", Gateway: "g2"}, want: wire.ErrGateway},
		"of another product":    {id: wire.ID{Product: "p2", Gateway: "g1"}, want: wire.ErrGateway},
		"changed":               {change: func(e *wire.Envelope) { e.Payload = append(e.Payload, ' ') }, want: wire.ErrSignature},
		"by a key unknown":      {change: func(e *wire.Envelope) { e.KeyID = "k2" }, want: wire.ErrSignature},
		"by another key":        {keys: map[string]ed25519.PublicKey{"k1": public(key('b'))}, want: wire.ErrSignature},
		"with no key":           {keys: map[string]ed25519.PublicKey{"k1": nil}, want: wire.ErrSignature},
		"signed without a word": {change: func(e *wire.Envelope) { e.Signature = ed25519.Sign(key('a'), e.Payload) }, want: wire.ErrSignature},
		"with other addresses":  {change: func(e *wire.Envelope) { e.URLs = map[string]string{"x": "y"} }},
	} {
		t.Run(name, func(t *testing.T) {
			e := signed
			e.Payload = append([]byte(nil), signed.Payload...)
			if tt.change != nil {
				tt.change(&e)
			}
			if tt.keys == nil {
				tt.keys = keys
			}
			if !tt.id.Valid() {
				tt.id = id
			}
			data, err := wire.Encode(e)
			require.NoError(t, err)
			var back wire.Envelope
			require.NoError(t, wire.Decode(data, &back))
			got, err := back.Open(tt.keys, tt.id, tt.accepted)
			require.ErrorIs(t, err, tt.want)
			if tt.want == nil || tt.want == wire.ErrSame {
				require.Equal(t, document(), got)
			} else {
				require.Zero(t, got)
			}
		})
	}
}

// TestHash is the same as long as nothing differs that a function could notice.
func TestHash(t *testing.T) {
	hash := func(d wire.Document) string {
		h, err := d.Hash()
		require.NoError(t, err)
		return h
	}
	first := hash(document())
	newer := document()
	newer.Version, newer.IssuedAt = 8, 1
	require.Equal(t, first, hash(newer))
	newer.Functions[0].Config = json.RawMessage(`{"a":"b"}`)
	require.NotEqual(t, first, hash(newer))
	f, err := document().Functions[0].Hash()
	require.NoError(t, err)
	// Gateways compare this with what they stored in an earlier release: a change of it restarts functions everywhere.
	require.Equal(t, "d0e75b02b9b970695618f8639f064f4a61ce0708cdfd322e4dfaaa03f72f72da", f)
}

func TestTopics(t *testing.T) {
	id := wire.ID{Product: "p1", Gateway: "00:1A-x_2"}
	for _, c := range append(wire.UpChannels[:], wire.DownChannels[:]...) {
		topic := id.Topic(c)
		require.LessOrEqual(t, strings.Count(topic, "/"), 7, "UIoT's bound")
		got, channel, ok := wire.ParseTopic(topic)
		require.Equal(t, []any{id, c, true}, []any{got, channel, ok})
	}
	require.Equal(t, "/$system/p1/00:1A-x_2/edge/v1/cmd/ack", id.Topic(wire.CmdAck))
	require.Equal(t, "p1.00:1A-x_2", id.ClientID())
	for _, bad := range []string{"", "/$system/p/g", "/$system/p/g/edge/v2/cmd", "/$system/p/+/edge/v1/cmd", "/$system//g/edge/v1/cmd", "$system/p/g/edge/v1/cmd"} {
		_, _, ok := wire.ParseTopic(bad)
		require.False(t, ok, bad)
	}
	got, login, ok := wire.ParseUser(id.User(wire.LoginDynamic))
	require.Equal(t, []any{id, wire.LoginDynamic, true}, []any{got, login, ok})
	for _, bad := range []string{"", "p|g", "p|g|3", "p|g|1|1", "|g|1", "p|#|1", "p/x|g|1", "p|" + strings.Repeat("g", 33) + "|1"} {
		_, _, ok := wire.ParseUser(bad)
		require.False(t, ok, bad)
	}
}

func TestEncode(t *testing.T) {
	small, err := wire.Encode(wire.GetMessage{Version: 3})
	require.NoError(t, err)
	require.Equal(t, `{"version":3}`, string(small))
	long := wire.TextResult{Text: strings.Repeat("a<b ", 10_000)}
	packed, err := wire.Encode(long)
	require.NoError(t, err)
	require.Less(t, len(packed), 1000)
	var back wire.TextResult
	require.NoError(t, wire.Decode(packed, &back))
	require.Equal(t, long, back)

	for name, bad := range map[string]string{"nothing": "", "a number": "1", "cut short": string(packed[:20]), "no JSON": "{", "packed nonsense": "\x1f\x8bxx"} {
		require.Error(t, wire.Decode([]byte(bad), &back), name)
	}
	bomb, err := wire.Encode(wire.TextResult{Text: strings.Repeat("a", wire.MaxMessage)})
	require.NoError(t, err)
	require.ErrorIs(t, wire.Decode(bomb, &back), wire.ErrTooLarge)
}

func TestEnrollment(t *testing.T) {
	good := wire.Enrollment{BrokerURL: "mqtt://h:1883", ProductSN: "p", GatewaySN: "g", DeviceSecret: "s", SigningKeys: []wire.SigningKey{{ID: "k", Public: public(key('a'))}}}
	require.NoError(t, good.Check())
	require.Len(t, good.Keys(), 1)
	for name, change := range map[string]func(*wire.Enrollment){
		"no gateway": func(e *wire.Enrollment) { e.GatewaySN = "" }, "no broker": func(e *wire.Enrollment) { e.BrokerURL = "" },
		"no secret": func(e *wire.Enrollment) { e.DeviceSecret = "" }, "no keys": func(e *wire.Enrollment) { e.SigningKeys = nil },
		"a short key": func(e *wire.Enrollment) { e.SigningKeys = []wire.SigningKey{{ID: "k", Public: []byte("x")}} },
	} {
		e := good
		change(&e)
		require.Error(t, e.Check(), name)
	}
}

func FuzzDecode(f *testing.F) {
	e, err := wire.Seal(document(), "k1", key('a'))
	require.NoError(f, err)
	data, err := wire.Encode(e)
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"payload":"e30="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e wire.Envelope
		if wire.Decode(data, &e) == nil {
			_, err := e.Open(nil, wire.ID{Product: "p1", Gateway: "g1"}, 0)
			require.Error(t, err)
		}
	})
}
