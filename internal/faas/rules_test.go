package faas_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestNames(t *testing.T) {
	good := []string{"a", "A", "test", "a-b_c", "a1", "a" + strings.Repeat("x", 59)}
	bad := []string{"", "1a", "_a", "-a", "a-", "a_", "a.b", "a b", "函数", "a\n", "a" + strings.Repeat("x", 60), "a:b", "a/b"}
	for check, field := range map[*func(string) error]string{
		ptr(faas.CheckFunctionName): "func_name", ptr(faas.CheckPackageName): "package",
	} {
		for _, name := range good {
			require.NoError(t, (*check)(name), name)
		}
		for _, name := range bad {
			wantInvalid(t, (*check)(name), field)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func wantInvalid(t *testing.T, err error, field string) {
	t.Helper()
	var e *faas.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, faas.CodeInvalid, e.Code)
	require.Equal(t, field, e.Field)
}

func TestSpecCheck(t *testing.T) {
	cases := map[string]struct {
		change func(*faas.Spec)
		field  string // "" for a spec that is right
	}{
		"as it is":            {func(*faas.Spec) {}, ""},
		"memory 0":            {func(s *faas.Spec) { s.MemoryMB = 0 }, "memory_size"},
		"memory 129":          {func(s *faas.Spec) { s.MemoryMB = 129 }, "memory_size"},
		"memory 10240":        {func(s *faas.Spec) { s.MemoryMB = 10240 }, ""},
		"timeout 2":           {func(s *faas.Spec) { s.Timeout = 2 * time.Second }, "timeout"},
		"timeout 259200":      {func(s *faas.Spec) { s.Timeout = 259200 * time.Second }, ""},
		"timeout 259201":      {func(s *faas.Spec) { s.Timeout = 259201 * time.Second }, "timeout"},
		"tmp 0":               {func(s *faas.Spec) { s.TmpMB = 0 }, "ephemeral_storage"},
		"tmp 10240":           {func(s *faas.Spec) { s.TmpMB = 10240 }, ""},
		"512 characters":      {func(s *faas.Spec) { s.Description = strings.Repeat("描", 512) }, ""},
		"513 characters":      {func(s *faas.Spec) { s.Description = strings.Repeat("描", 513) }, "description"},
		"instances -2":        {func(s *faas.Spec) { s.MaxInstances = -2 }, "concurrency"},
		"instances 0":         {func(s *faas.Spec) { s.MaxInstances = 0 }, ""},
		"instances 1001":      {func(s *faas.Spec) { s.MaxInstances = 1001 }, "concurrency"},
		"requests 0":          {func(s *faas.Spec) { s.RequestsPer = 0 }, "concurrent_num"},
		"requests 1001":       {func(s *faas.Spec) { s.RequestsPer = 1001 }, "concurrent_num"},
		"generation":          {func(s *faas.Spec) { s.Generation = "" }, "type"},
		"init without a time": {func(s *faas.Spec) { s.InitHandler = "a.b" }, "initializer_timeout"},
		"init":                {func(s *faas.Spec) { s.InitHandler, s.InitTimeout = "a.b", time.Second }, ""},
		"init 301":            {func(s *faas.Spec) { s.InitHandler, s.InitTimeout = "a.b", 301*time.Second }, "initializer_timeout"},
		"time without init":   {func(s *faas.Spec) { s.InitTimeout = time.Second }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := faas.Spec{MemoryMB: 128, Timeout: 3 * time.Second, TmpMB: 512, MaxInstances: faas.Unlimited, RequestsPer: 1, Generation: "v2"}
			c.change(&s)
			if c.field == "" {
				require.NoError(t, s.Check())
				return
			}
			wantInvalid(t, s.Check(), c.field)
		})
	}
}

func TestCPUMillis(t *testing.T) {
	for memory, cpu := range map[int]int{128: 300, 256: 400, 512: 600, 1024: 1000, 4096: 3400} {
		require.Equal(t, cpu, faas.CPUMillis(memory))
	}
}

func TestErrors(t *testing.T) {
	seen := map[faas.Code]bool{}
	for _, code := range faas.Codes {
		require.False(t, seen[code], "%s stands twice", code)
		seen[code] = true
	}
	require.Equal(t, faas.FaultFunction, faas.CodeTimeout.Fault())
	require.Equal(t, faas.FaultPlatform, faas.CodeInternal.Fault())
	require.Equal(t, faas.FaultCaller, faas.CodeNotFound.Fault())

	cause := errors.New("disk")
	err := fmt.Errorf("while storing: %w", &faas.Error{Code: faas.CodeUnavailable, Message: "the store is away", Err: cause})
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(err))
	require.ErrorIs(t, err, cause)
	require.EqualError(t, err, "while storing: the store is away: disk")
	require.Equal(t, faas.CodeInternal, faas.CodeOf(cause))
	require.EqualError(t, faas.NotFound("function", "x"), `function "x" does not exist`)
}

func TestKeys(t *testing.T) {
	f := faas.Function{Project: "p", Package: "default", Name: "n", Version: faas.Latest}
	require.Equal(t, "urn:fss:local:p:function:default:n:latest", f.URN("local").String())
	require.Equal(t, faas.FunctionKey{Project: "p", Package: "default", Name: "n", Version: "latest"}, f.Key())
}
