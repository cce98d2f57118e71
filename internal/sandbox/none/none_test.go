package none_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/none"
	"github.com/hanshu-faas/hanshu/internal/sandbox/sandboxtest"
)

func TestSuite(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T) sandbox.Driver {
		d := none.New()
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		return d
	})
}
