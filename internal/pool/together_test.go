package pool_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// talk is try by an exchange: the event goes to the worker over a connection, and what comes back is the output. Now and then
// it outlasts its time.
func (s *stage) talk(ctx context.Context, f *faas.Function, event string, wait time.Duration) (*faas.Result, error) {
	var output []byte
	call := faas.Invocation{ID: "id", QueueBy: time.Now().Add(wait), Deadline: time.Now().Add(wait + f.Spec.Timeout)}
	res, err := s.Exchange(ctx, f, call, func(b faas.Backend) error {
		conn, err := b.Dial(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		output, err = echoed(conn, event)
		if err == nil && rand.IntN(20) == 0 {
			_, err = conn.Read(make([]byte, 1)) // until the instance is ended
		}
		return err
	})
	if err == nil && res.Failure == nil {
		res.Output = output
	}
	return res, err
}

func echoed(conn net.Conn, text string) ([]byte, error) {
	if _, err := io.WriteString(conn, text); err != nil {
		return nil, err
	}
	back := make([]byte, len(text))
	_, err := io.ReadFull(conn, back)
	return back, err
}

// TestExchangesShareAnInstance has exchanges and a call in one instance at the same time: each waits for all.
func TestExchangesShareAnInstance(t *testing.T) {
	s := newSite(t, newHouse(t, nil))
	s.f.Spec.RequestsPer, s.f.Spec.MaxInstances = 4, 1
	var all, done sync.WaitGroup
	all.Add(3)
	for range 3 {
		done.Go(func() {
			res, err := s.exchange(t.Context(), func(get func(path, body string) (*http.Response, error)) error {
				all.Done()
				all.Wait()
				r, err := get("/", `1`)
				if err != nil {
					return err
				}
				return r.Body.Close()
			})
			if err != nil || res.Failure != nil {
				t.Errorf("%+v %v", res, err)
			}
		})
	}
	all.Wait()
	require.Nil(t, s.h.call(t, s.f, `1`).Failure)
	done.Wait()
}

// TestOverdueExchangeSparesItsNeighbours lets an exchange hang beside one that ends in time, but behind the end of the first.
func TestOverdueExchangeSparesItsNeighbours(t *testing.T) {
	s := newStage(t, &actors{play: func(a *actor) {
		if a.loaded() {
			a.echo()
		}
	}}, nil)
	f := s.sharing(3, 1)
	f.Spec.Timeout = time.Second
	exchange := func(talk func(conn net.Conn) error) (*faas.Result, error) {
		call := faas.Invocation{ID: "id", QueueBy: time.Now().Add(10 * time.Second), Deadline: time.Now().Add(time.Minute)}
		return s.Exchange(t.Context(), f, call, func(b faas.Backend) error {
			conn, err := b.Dial(t.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			return talk(conn)
		})
	}
	hangs, besides := make(chan struct{}), make(chan struct{})
	var over time.Time // of the neighbour
	var group sync.WaitGroup
	group.Go(func() {
		res, err := exchange(func(conn net.Conn) error {
			close(hangs)
			_, err := conn.Read(make([]byte, 1))
			return err
		})
		if err != nil || res.Failure == nil || res.Failure.Code != faas.CodeTimeout {
			t.Errorf("%+v %v", res, err)
		}
		<-besides
		if time.Since(over) < 0 || res.Run < f.Spec.Timeout {
			t.Error("the instance was ended before its other exchange")
		}
	})
	<-hangs
	<-time.After(600 * time.Millisecond) // time itself must pass: the second exchange is to end behind the first
	res, err := exchange(func(conn net.Conn) error {
		<-time.After(700 * time.Millisecond)
		_, err := echoed(conn, "still here")
		over = time.Now()
		return err
	})
	close(besides)
	require.NoError(t, err)
	require.Nil(t, res.Failure)
	group.Wait()
	res, err = s.try(t.Context(), f, `"next"`, 10*time.Second)
	require.NoError(t, err)
	require.True(t, res.Cold, "the instance takes no further call")
}

// TestExchangesAreNotFrozen wakes an instance that is frozen for an exchange over a connection that was kept, and lets it be
// frozen again only behind the end of that.
func TestExchangesAreNotFrozen(t *testing.T) {
	for _, several := range []int{1, 4} {
		process := make(chan *actor, 1)
		s := newStage(t, &actors{freeze: true, play: func(a *actor) {
			process <- a
			if a.loaded() {
				a.echo()
			}
		}}, func(c *pool.Config) { c.FreezeAfter = 2 * time.Millisecond })
		f := s.sharing(several, 1)
		var kept net.Conn
		call := faas.Invocation{ID: "id", QueueBy: time.Now().Add(10 * time.Second), Deadline: time.Now().Add(time.Minute)}
		_, err := s.Exchange(t.Context(), f, call, func(b faas.Backend) (err error) {
			kept, err = b.Dial(t.Context())
			return err
		})
		require.NoError(t, err)
		a := <-process
		for range 3 {
			frosts := a.frosts.Load()
			require.Eventually(t, a.isFrozen, 10*time.Second, time.Millisecond)
			_, err = s.Exchange(t.Context(), f, call, func(faas.Backend) error {
				for range 20 {
					if a.isFrozen() {
						return errors.New("frozen in an exchange")
					}
					<-time.After(time.Millisecond)
				}
				_, err := echoed(kept, "awake")
				return err
			})
			require.NoError(t, err)
			require.LessOrEqual(t, a.frosts.Load(), frosts+2)
		}
	}
}

func (a *actor) isFrozen() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.frozen != nil
}

// TestProcessExitIsToldToAll ends the process of an executable with several calls in it: each is told how it ended.
func TestProcessExitIsToldToAll(t *testing.T) {
	c, s := newCrowd(t)
	f := s.sharing(3, 1)
	var ends []<-chan ended
	var last crowded
	for range 3 {
		ends = append(ends, s.start(t, f, `"x"`))
		last = <-c.calls
	}
	require.True(t, last.send(lang.Frame{Type: lang.FrameFailed, Seq: last.frame.Seq, Meta: []byte{lang.FailExit}, Body: []byte(`{"errorMessage":"exited with code 7"}`)}))
	for _, e := range ends {
		(<-e).failed(t, faas.CodeExit, "exited with code 7")
	}
}
