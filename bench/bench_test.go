package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary stand for the bench's own programs, which the bench starts by its own path.
func TestMain(m *testing.M) {
	if isFake() || len(os.Args) > 1 && slices.Contains([]string{commandLoad, commandEcho, commandFront, commandWorker}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestHistogram(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var whole, half histogram
	var values []float64
	for i := range 20_000 {
		d := time.Duration(random.ExpFloat64() * float64(300*time.Microsecond))
		values = append(values, float64(d))
		if i%2 == 0 {
			whole.add(d)
		} else {
			half.add(d)
		}
	}
	whole.merge(&half)
	require.EqualValues(t, len(values), whole.total)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		require.InEpsilon(t, quantile(values, q)+1, float64(whole.quantile(q))+1, 0.01, "quantile %v", q)
	}
}

func TestHistogramEdges(t *testing.T) {
	var h histogram
	require.Zero(t, h.quantile(0.99))
	for _, d := range []time.Duration{-1, 0, 255, 256, 257, time.Hour, 1 << 62} {
		require.Less(t, bucket(d), buckets)
		h.add(d)
	}
	require.Zero(t, h.quantile(0.1))
	require.Equal(t, time.Duration(255), h.quantile(3.0/7))
	last := -1
	for d := time.Duration(1); d < 1<<40; d += d/50 + 1 {
		i := bucket(d)
		require.GreaterOrEqual(t, i, last)
		require.InEpsilon(t, float64(d), float64(middle(i)), 0.008)
		last = i
	}
}

func TestQuantileOfFew(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.2, 1}, {0.21, 2}, {0.5, 3}, {0.99, 5}, {1, 5}} {
		require.Equal(t, c.want, quantile(values, c.q), "q=%v", c.q)
	}
	require.Zero(t, quantile(nil, 0.5))
	require.Equal(t, []float64{5, 1, 4, 2, 3}, values, "the values stay in their order")
}

func TestMedianRatio(t *testing.T) {
	require.Zero(t, median(nil))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	// The ratio of the medians would be 0.75: rounds are compared with themselves.
	require.Equal(t, 0.5, medianRatio([]float64{10, 30, 50}, []float64{20, 40, 100}))
	require.Equal(t, 2.0, medianRatio([]float64{10, 30}, []float64{0, 15}))
	require.Zero(t, medianRatio(nil, []float64{1}))
}

func TestResponse(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nX-Cff-Invoke-Summary: {\"duration\":1}\r\ncontent-length: 5\r\n\r\nhello"
	for _, c := range []struct {
		name, text string
		want       response
	}{
		{"plain", good, response{status: 200, summary: []byte(`{"duration":1}`), body: []byte("hello")}},
		{"closing", "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", response{status: 429, close: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := response{body: []byte("of an answer before"), summary: []byte("also")}
			require.NoError(t, a.read(bufio.NewReader(strings.NewReader(c.text))))
			require.Equal(t, c.want.status, a.status)
			require.Equal(t, c.want.close, a.close)
			require.Equal(t, string(c.want.summary), string(a.summary))
			require.Equal(t, string(c.want.body), string(a.body))
		})
	}
	for name, text := range map[string]string{
		"empty":           "",
		"another version": "HTTP/2.0 200 OK\r\n\r\n",
		"no status":       "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
		"no length":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"negative length": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"huge length":     "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
		"cut in header":   good[:30],
		"cut in body":     good[:len(good)-1],
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, new(response).read(bufio.NewReader(strings.NewReader(text))))
		})
	}
}

func TestCheckerFindsWrongAnswers(t *testing.T) {
	req := newRequest(target{Address: "a:1", Path: "/"})
	var c checker
	for n := range uint64(4) {
		req.number(n << 33)
		require.True(t, c.right(req, req.body))
		require.True(t, c.right(req, indented(t, req.body)), "written another way")
		require.False(t, c.right(req, req.body[:len(req.body)-1]), "cut")
		require.False(t, c.right(req, []byte("null")))
		other := bytes.Replace(req.body, []byte("north"), []byte("South"), 1)
		require.False(t, c.right(req, other), "another event")
		before := bytes.Clone(req.body)
		req.number(n<<33 + 1)
		require.False(t, c.right(req, before), "the answer to another call")
	}
}

func indented(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, text, "", " "))
	return b.Bytes()
}

func TestParseProc(t *testing.T) {
	s, err := parseStat("42 (a) (b c) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 5\n")
	require.NoError(t, err)
	require.Equal(t, procStat{PID: 42, Parent: 7, Name: "a) (b c", CPU: 4330 * tick}, s)
	for _, bad := range []string{"", "42 name S 7", "42 (short) S 7", "x (a) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 300 4000 20"} {
		_, err := parseStat(bad)
		require.Error(t, err, bad)
	}
	busy, err := parseMachine("cpu  1 2 4 1000 1000 8 16 32 64 128")
	require.NoError(t, err)
	require.Equal(t, 63*tick, busy)
	_, err = parseMachine("cpu0 1 2 3")
	require.Error(t, err)

	m, err := parseMemory([]byte("00400000-7ffe ---p 00000000 00:00 0 [rollup]\nRss:   2048 kB\nPss:   1024 kB\nPss_Dirty: 5 kB\n"))
	require.NoError(t, err)
	require.Equal(t, memory{RSS: 2, PSS: 1}, m)
	_, err = parseMemory([]byte("Pss: 1 kB\n"))
	require.Error(t, err)
}

func TestTreeHoldsChildren(t *testing.T) {
	child := exec.CommandContext(t.Context(), "cat")
	input, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	found, err := tree(os.Getpid())
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), found[0].PID)
	require.True(t, slices.ContainsFunc(found, func(s procStat) bool { return s.PID == child.Process.Pid && s.Parent == os.Getpid() }))
	require.NoError(t, input.Close())
	require.NoError(t, child.Wait())
	_, err = tree(child.Process.Pid)
	require.Error(t, err)
}

func TestJudge(t *testing.T) {
	rows := []row{
		{Line: "ratio met", Unit: perSecond, Value: 6, Floor: 10, Ratio: 0.6},
		{Line: "ratio missed", Unit: perSecond, Value: 9, Floor: 10, Ratio: 0.59},
		{Line: "value met", Unit: mebibyte, Value: 60},
		{Line: "value missed", Unit: mebibyte, Value: 61, Floor: 10, Ratio: 6.1},
		{Line: "free", Unit: count, Value: 3},
	}
	ratio, value := aim{ratio: true, atLeast: true, bound: 0.6}, aim{bound: 60}
	judge(rows, map[string]aim{"ratio met": ratio, "ratio missed": ratio, "value met": value, "value missed": value})
	var out strings.Builder
	require.NoError(t, writeTable(&out, rows))
	require.Equal(t, `line             value     floor  ratio     target    verdict
ratio met         6 /s     10 /s   0.60    >= 0.6x        met
ratio missed      9 /s     10 /s   0.59    >= 0.6x     missed
value met     60.0 MiB         -      -  <= 60 MiB        met
value missed  61.0 MiB  10.0 MiB   6.10  <= 60 MiB     missed
free                 3         -      -          -  no target
`, out.String())
}

// TestEveryAimHasALine keeps the names of the targets and those of the lines the same.
func TestEveryAimHasALine(t *testing.T) {
	b := &bench{echo: newPlace(target{}, 0), server: &server{}, queue: &queued{}}
	for _, l := range append(languages(), language{Title: "Java"}) {
		b.langs = append(b.langs, &measured{language: l, floor: newPlace(target{}, 0), hanshu: newPlace(target{}, 0)})
	}
	b.executables = &executables{warm: newPlace(target{}, 0), echo: newPlace(target{}, 0)}
	b.web = &web{through: newPlace(target{}, 0), alone: newPlace(target{}, 0)}
	b.timers, b.jobs, b.flows, b.fleet, b.bound, b.paged = &armed{}, &jobList{}, &flowTimes{}, &fleet{}, &bound{}, &paged{}
	alone := &bench{opts: options{only: partControl}, control: &controlled{}}
	judged := 0
	for _, r := range append(b.rows(), alone.rows()...) {
		if r.Verdict != "no target" {
			judged++
		}
	}
	require.Len(t, aims(), judged)
}

func TestFaultsAreCounted(t *testing.T) {
	b := &bench{echo: newPlace(target{}, 0), goCold: coldTimes{Wrong: 1}}
	m := &measured{floor: newPlace(target{}, 0), hanshu: newPlace(target{}, 0), cold: coldTimes{Wrong: 2, First: "cold"}}
	b.langs = []*measured{m, {floor: newPlace(target{}, 0), hanshu: newPlace(target{}, 0)}}
	m.hanshu.Samples[1] = []sample{{Wrong: 4, Errors: 8}, {Wrong: 16}}
	b.echo.Samples[64] = []sample{{Errors: 32}}
	b.web = &web{through: newPlace(target{}, 0), alone: newPlace(target{}, 0)}
	b.web.through.Samples[16] = []sample{{Wrong: 100}}
	wrong, failed, first := b.faults()
	require.EqualValues(t, 123, wrong)
	require.EqualValues(t, 40, failed)
	require.Equal(t, "cold", first)
}

func TestNewestRuntime(t *testing.T) {
	list := []served{{"Go1.x", "exact", ""}, {"P3.6", "served", ""}, {"P3.9", "exact", ""}, {"P3.10", "exact", ""}, {"P3.12", "served", ""}, {"P4", "missing", ""}, {"Q1", "served", ""},
		{"S1", "exact", "/opt/s"}, {"S2", "exact", "/usr/bin/s2"}, {"S3", "exact", "/opt/s3"}}
	for prefix, want := range map[string]string{"P3": "P3.10", "Q": "Q1", "S": "S2", "S3": "S3", "P4": "", "R": ""} {
		got, ok := newest(list, prefix)
		require.Equal(t, want, got.Name)
		require.Equal(t, want != "", ok)
	}
}

func TestParseFlags(t *testing.T) {
	o, err := parseFlags([]string{"-d", "1s", "-rounds", "2", "-json", "f"})
	require.NoError(t, err)
	require.Equal(t, options{run: time.Second, warm: time.Second, rounds: 2, cold: 30, binary: "bin/hanshu", json: "f", queued: 200_000, functions: 100_000, sessions: 20_000}, o)
	for _, bad := range [][]string{{"-d", "0s"}, {"-rounds", "0"}, {"-cold", "0"}, {"-functions", "10"}, {"-warm", "-1s"}, {"more"}} {
		_, err := parseFlags(bad)
		require.Error(t, err, bad)
	}
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, writeFrame(&b, []byte("hello")))
	body, err := readFrame(&b)
	require.NoError(t, err)
	require.Equal(t, "hello", string(body))
	_, err = readFrame(&b)
	require.ErrorIs(t, err, io.EOF)
	_, err = readFrame(strings.NewReader("\xff\xff\xff\xff"))
	require.ErrorContains(t, err, "a frame of")
}

// TestServeFrames holds the worker without a language to what hanshu sends and expects.
func TestServeFrames(t *testing.T) {
	sent := appendHead(nil, frameLoad, 0, 0, 2)
	sent = append(sent, "{}"...)
	sent = appendHead(sent, frameCall, 7, 3, 5)
	sent = append(sent, "abchello"...)
	var got bytes.Buffer
	require.NoError(t, serveFrames(bytes.NewReader(sent), &got))
	want := appendHead(appendHead(nil, frameReady, 0, 0, 0), frameLoaded, 0, 0, 0)
	want = appendHead(want, frameResult, 7, 4, 5)
	require.Equal(t, want, got.Bytes()[:len(want)])
	require.Positive(t, got.Bytes()[len(want)+2]|got.Bytes()[len(want)+1], "the peak of memory")
	require.Equal(t, "hello", got.String()[len(want)+4:])
	require.ErrorContains(t, serveFrames(bytes.NewReader(appendHead(nil, 9, 0, 0, 0)), io.Discard), "type 9")
	require.Error(t, serveFrames(bytes.NewReader(sent[:20]), io.Discard))
}

// TestFakeIsFound starts the copy as hanshu does when it looks for interpreters.
func TestFakeIsFound(t *testing.T) {
	dir, err := layFake()
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, fakeName), "-d", "x=0", "-r", "echo PHP_VERSION;")
	cmd.Env = []string{}
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, fakeVersion+".0\n"+dir+"\n", string(out))
}
