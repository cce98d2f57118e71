package sandboxtest

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/test/need"
)

// testReclaim pages out a shell that holds 8 MB, which then finds all of them again.
func testReclaim(t *testing.T, d sandbox.Driver) {
	in, err := d.Start(t.Context(), spec(`x=$(head -c 8000000 /dev/zero | tr '\0' x); echo up >&3
		while read l; do
			while read -r name value unit; do case $name in VmSwap:) swap=$value ;; esac; done < /proc/$$/status
			case $l in *x*) echo $swap ${#x} >&3 ;; *) echo $swap >&3 ;; esac
		done <&3`))
	require.NoError(t, err)
	defer in.Control().Close()
	defer in.Output().Close()
	defer in.Kill()
	answers := bufio.NewReader(in.Control())
	ask := func(text string) []string {
		require.NoError(t, in.Control().SetDeadline(time.Now().Add(20*time.Second)))
		_, err := io.WriteString(in.Control(), text)
		require.NoError(t, err)
		line, err := answers.ReadString('\n')
		require.NoError(t, err)
		return strings.Fields(line)
	}
	require.Equal(t, []string{"up"}, ask(""))
	if !d.Capabilities().Reclaim {
		require.ErrorIs(t, in.Reclaim(), errors.ErrUnsupported)
		return
	}
	need.Swap(t)
	require.NoError(t, in.Freeze())
	require.NoError(t, in.Reclaim())
	require.NoError(t, in.Thaw())
	out, err := strconv.Atoi(ask("\n")[0])
	require.NoError(t, err)
	require.Greater(t, out, 7_000, "KiB in swap")
	require.Equal(t, "8000000", ask("x\n")[1], "it has lost what it held")
	in.Kill()
	<-in.Done()
	require.Error(t, in.Reclaim(), "it is gone")
}
