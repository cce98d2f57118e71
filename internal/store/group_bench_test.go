package store

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// BenchmarkEnqueue measures durable acceptance by several callers at a time.
func BenchmarkEnqueue(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			db, err := Open(b.Context(), Config{URL: "sqlite:" + filepath.Join(b.TempDir(), "a.db")})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			work := make(chan struct{})
			done := make(chan error, callers)
			for range callers {
				go func() {
					for range work {
						id, err := uuid.NewV7()
						if err == nil {
							_, err = db.EnqueueJob(b.Context(), faas.Job{
								ID: id.String(), Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f"}, Event: []byte(`{"n":1}`), Source: faas.SourceAPI,
							})
						}
						if err != nil {
							b.Error(err)
						}
					}
					done <- nil
				}()
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			for range callers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
}
