package pool_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// desk hands out credentials with a number, to be renewed after a life.
type desk struct {
	mu   sync.Mutex
	n    int
	life time.Duration
	err  error
}

func (d *desk) Credentials(_ context.Context, f *faas.Function) (faas.Credentials, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return faas.Credentials{}, d.err
	}
	d.n++
	text := f.Spec.Agency() + strconv.Itoa(d.n)
	return faas.Credentials{AccessKey: text, SecretKey: text, SecurityToken: text, AuthToken: text, RenewAt: time.Now().Add(d.life)}, nil
}

// TestCredentials: an instance is loaded with its agency's, calls bring others when these are due, and none otherwise.
func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{true, false} {
		t.Run("one call at a time: "+strconv.FormatBool(single), func(t *testing.T) {
			t.Parallel()
			d := &desk{life: time.Hour}
			heads := make(chan string, 1) // what the load, and then each call, said
			s := newStage(t, &actors{play: func(a *actor) {
				if !a.loaded() {
					return
				}
				heads <- a.load.AuthToken
				for {
					call, ok := a.receive()
					if !ok {
						return
					}
					if call.Type == lang.FrameCall {
						_, _, extra, _ := call.CallHead()
						text := ""
						if extra.Credentials != nil {
							text = extra.Credentials.AuthToken + " " + extra.Credentials.AccessKey
						}
						heads <- text
					}
					if !a.answer(call) {
						return
					}
				}
			}}, func(c *pool.Config) { c.Credentials = d })
			s.single = single
			call := func(f *faas.Function) string {
				_, err := s.try(t.Context(), f, `{}`, 5*time.Second)
				require.NoError(t, err)
				return <-heads
			}
			first := func(f *faas.Function) (load, head string) {
				done := make(chan error, 1)
				go func() {
					_, err := s.try(t.Context(), f, `{}`, 5*time.Second)
					done <- err
				}()
				load, head = <-heads, <-heads
				require.NoError(t, <-done)
				return load, head
			}
			f := s.function()
			f.Spec.RequestsPer = 2
			f.Spec.Role, f.Spec.AppRole = "config", "run"
			load, head := first(f)
			require.Equal(t, "run1", load, "the agency that it acts as while it runs")
			require.Empty(t, head)
			require.Empty(t, call(f), "they are good for an hour")

			plain := s.function()
			load, head = first(plain)
			require.Empty(t, load+head, "no agency, no credentials")

			d.mu.Lock()
			d.life = 0 // due with the next call
			d.mu.Unlock()
			due := s.function()
			due.Spec.Role = "due"
			load, head = first(due)
			require.Equal(t, "due2", load)
			require.Equal(t, "due3 due3", head)
			require.Equal(t, "due4 due4", call(due))
			d.mu.Lock()
			d.err = errors.New("the database is away")
			d.mu.Unlock()
			require.Empty(t, call(due), "it goes on with what it has")
		})
	}
}

// TestCredentialsInHeaders: a function that serves HTTP finds them in each request where its owner wants so, and not otherwise.
func TestCredentialsInHeaders(t *testing.T) {
	t.Parallel()
	s := newStage(t, &actors{play: func(a *actor) {
		if a.loaded() {
			a.echo()
		}
	}}, func(c *pool.Config) { c.Credentials = &desk{life: time.Hour} })
	for _, wanted := range []bool{true, false} {
		f := s.function()
		f.Spec.Role, f.Spec.AuthInHeader = "agency", wanted
		_, err := s.Exchange(t.Context(), f, faas.Invocation{ID: "id", QueueBy: time.Now().Add(5 * time.Second)}, func(b faas.Backend) error {
			for _, name := range []string{"X-Cff-Auth-Token", "X-Cff-Security-Access-Key", "X-Cff-Security-Secret-Key", "X-Cff-Security-Token"} {
				require.Equal(t, wanted, b.Header()[name] != "", name)
			}
			require.Equal(t, "id", b.Header()["X-Cff-Request-Id"])
			return nil
		})
		require.NoError(t, err)
	}
}
