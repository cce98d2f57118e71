package faas_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestParseEgress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]faas.Egress{
		"":     {},
		"none": {},
		"open": {Open: true},
		"open, 10.0.0.0/8:5432": {Open: true, Rules: []faas.EgressRule{
			{Network: netip.MustParsePrefix("10.0.0.0/8"), Low: 5432, High: 5432}}},
		"API.example.com.":        {Rules: []faas.EgressRule{{Name: "api.example.com", Low: 1, High: 65535}}},
		"*.example.com:8000-8100": {Rules: []faas.EgressRule{{Name: "*.example.com", Low: 8000, High: 8100}}},
		"10.1.2.3":                {Rules: []faas.EgressRule{{Network: netip.MustParsePrefix("10.1.2.3/32"), Low: 1, High: 65535}}},
		"10.1.2.3/8:80":           {Rules: []faas.EgressRule{{Network: netip.MustParsePrefix("10.0.0.0/8"), Low: 80, High: 80}}},
		"2001:db8::/32":           {Rules: []faas.EgressRule{{Network: netip.MustParsePrefix("2001:db8::/32"), Low: 1, High: 65535}}},
		"[2001:db8::1]:53":        {Rules: []faas.EgressRule{{Network: netip.MustParsePrefix("2001:db8::1/128"), Low: 53, High: 53}}},
		"[2001:db8::]/32:53":      {Rules: []faas.EgressRule{{Network: netip.MustParsePrefix("2001:db8::/32"), Low: 53, High: 53}}},
		"::ffff:10.1.2.3":         {Rules: []faas.EgressRule{{Network: netip.MustParsePrefix("10.1.2.3/32"), Low: 1, High: 65535}}},
	} {
		got, err := faas.ParseEgress(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.Equal(t, text == "" || text == "none", got.None())
	}
	for _, text := range []string{
		"none,open", "http://x.example/", "x:0", "x:", "x:2-1", "x:70000", "a b", ",", "open,", "*", "*.", "a*.b", "-a.b", "1.2.3", "[::1", "fe80::1%eth0",
		strings.Repeat("a,", 51) + "a", strings.Repeat("a", 254), strings.Repeat("x", 5000),
	} {
		_, err := faas.ParseEgress(text)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), text)
	}
}

func TestCheckEgress(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"127.0.0.1:80", "10.0.0.1,127.0.0.0/8", "[::1]:80", "localhost:5432"} {
		require.ErrorContains(t, faas.CheckEgress(text), "the function's own", text)
	}
	for _, text := range []string{"", "none", "open", "10.0.0.1:80", "db.internal", "0.0.0.0/0"} {
		require.NoError(t, faas.CheckEgress(text), text)
	}
	require.Error(t, faas.CheckEgress("a b"))
}

func TestEgressLists(t *testing.T) {
	t.Parallel()
	e, err := faas.ParseEgress("api.example.com:443,*.b.example,192.0.2.0/24:80-90,2001:db8::/32")
	require.NoError(t, err)
	at := netip.MustParseAddr
	require.True(t, e.Names("api.example.com"))
	require.True(t, e.Names("x.y.b.example"))
	require.False(t, e.Names("b.example"))
	require.False(t, e.Names(".b.example"))
	require.False(t, e.Names("xb.example"))
	require.False(t, e.Names("192.0.2.1"))
	require.True(t, e.Lists(at("8.8.8.8"), 443, []string{"api.example.com"}))
	require.False(t, e.Lists(at("8.8.8.8"), 80, []string{"api.example.com"}))
	require.False(t, e.Lists(at("8.8.8.8"), 443, nil))
	require.True(t, e.Lists(at("192.0.2.9"), 85, nil))
	require.True(t, e.Lists(at("::ffff:192.0.2.9"), 85, nil))
	require.False(t, e.Lists(at("192.0.2.9"), 91, nil))
	require.True(t, e.Lists(at("2001:db8::9"), 1, nil))
	open, err := faas.ParseEgress("open")
	require.NoError(t, err)
	require.False(t, open.Lists(at("10.0.0.1"), 80, nil))
}
