//go:build linux

package engine

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	phase  = flag.Duration("phase", 0, "TestNeighbour: how long each phase of a round is, for every member of the hostile suite; 0 for a short look at a few")
	only   = flag.String("only", "", "TestNeighbour: the members to measure, by comma; all without it")
	rounds = flag.Int("rounds", 5, "TestNeighbour: rounds of each member, with -phase")
)

// worst are those that a short look is taken at.
var worst = []string{"fork", "eat", "spin", "lines"}

// callersOfEach call a function at a time, hostile or friendly.
const callersOfEach = 4

// TestNeighbour measures what a neighbour's calls take alone, beside a function that is as busy and friendly, and beside each member of the hostile suite: in turns, many
// times in the same run, since a machine that does other work besides is another one a minute later. A friendly function fills half of its memory and computes, within its
// limits, all the time.
func TestNeighbour(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	length, times := *phase, *rounds
	if length == 0 {
		length, times = 700*time.Millisecond, 1
	}
	h := start(t)
	h.create(t, function{name: "neighbour-py", runtime: python, source: pythonEcho})
	h.create(t, function{name: "neighbour-js", runtime: node, source: nodeEcho})
	n := watchNeighbours(t, h, "neighbour-py", "neighbour-js")
	source, chosen := testdata(t, "hostile.py"), strings.Split(*only, ",")
	if *only == "" {
		chosen = worst
	}
	var all, alls []float64
	for _, tr := range pythonTricks {
		if (*phase == 0 || *only != "") && !slices.Contains(chosen, tr.do) {
			continue
		}
		f := function{name: "hostile-" + tr.do, runtime: python, source: source, timeout: 3, memoryMB: tr.memoryMB}
		h.create(t, f)
		f.name, f.timeout = "friendly-"+tr.do, 10
		h.create(t, f)
		var alone, friendly, hostile phases
		for range times {
			alone.measure(n, length, func(context.Context) {})
			friendly.measure(n, length, func(ctx context.Context) { h.keepCalling(ctx, t, "friendly-"+tr.do, "work") })
			hostile.measure(n, length, func(ctx context.Context) { h.keepCalling(ctx, t, "hostile-"+tr.do, tr.do) })
		}
		a, f99, h99 := alone.p99(), friendly.p99(), hostile.p99()
		t.Logf("%-16s %5d calls  p50 %6.2f %6.2f %6.2f  p99 %7.2f alone %7.2f beside friendly %7.2f beside hostile ms: %.2f of friendly", tr.do, len(hostile.took),
			alone.at(50), friendly.at(50), hostile.at(50), a, f99, h99, h99/f99)
		all = append(all, h99/f99)
		alls = append(alls, hostile.at(50)/friendly.at(50))
	}
	n.stop(t)
	slices.Sort(all)
	slices.Sort(alls)
	t.Logf("neighbour beside hostile functions / beside friendly ones: p99 %.2f in the middle, %.2f at most; p50 %.2f in the middle, %.2f at most",
		all[len(all)/2], all[len(all)-1], alls[len(alls)/2], alls[len(alls)-1])
	require.Less(t, alls[len(alls)/2], 3.0, "the middle of a neighbour's calls beside hostile functions, of that beside friendly ones: its p99 says more, and more of the machine")
}

// keepCalling has a function do a thing by several callers until ctx ends, and the calls that were begun by then.
func (h *host) keepCalling(ctx context.Context, t *testing.T, name, do string) {
	var callers sync.WaitGroup
	for range callersOfEach {
		callers.Go(func() {
			for ctx.Err() == nil {
				_, _ = h.invoke(t.Context(), name, fmt.Appendf(nil, `{"do":%q,"n":7}`, do)) // what it answers is another test's
			}
		})
	}
	callers.Wait()
}

// phases are what the neighbours' calls took in phases of a kind, in ms.
type phases struct{ took []float64 }

// measure lets something go on for a while, or until it has ended, and not its beginning count.
func (p *phases) measure(n *neighbours, length time.Duration, do func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	begun := time.Now().Add(length / 8)
	do(ctx)
	<-ctx.Done()
	end := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.samples {
		if s.at.After(begun) && s.at.Before(end) {
			p.took = append(p.took, float64(s.took)/float64(time.Millisecond))
		}
	}
}

func (p *phases) at(percent int) float64 {
	if len(p.took) == 0 {
		return 0
	}
	slices.Sort(p.took)
	return p.took[(len(p.took)-1)*percent/100]
}

func (p *phases) p99() float64 { return p.at(99) }
