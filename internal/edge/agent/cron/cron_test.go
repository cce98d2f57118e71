package cron_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/cron"
)

func schedule(t *testing.T, text, zone string) cron.Schedule {
	s, err := cron.Parse(text, zone)
	require.NoError(t, err)
	return s
}

func TestParse(t *testing.T) {
	for _, bad := range [][2]string{{"every day", ""}, {"* * *", ""}, {"61 * * * * *", ""}, {"* * * * *", "Mars/Olympus"}, {"", ""}} {
		_, err := cron.Parse(bad[0], bad[1])
		require.Error(t, err, bad)
	}
}

func TestFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := map[string][]string{}
		timers := cron.New(time.Now, func(name string, at time.Time) { fired[name] = append(fired[name], at.UTC().Format("15:04:05")) })
		require.NoError(t, timers.Start(t.Context()))
		all := map[string]cron.Schedule{
			"seconds": schedule(t, "*/20 * * * * *", "UTC"), "minutes": schedule(t, "*/2 * * * *", "UTC"), "noon": schedule(t, "0 8 * * *", "Asia/Shanghai"),
		}
		timers.Set(all) // midnight of 1 January 2000
		require.Equal(t, "00:00:20", timers.Next("seconds").UTC().Format("15:04:05"))
		time.Sleep(70*time.Second + time.Millisecond)
		timers.Set(map[string]cron.Schedule{"seconds": all["seconds"], "noon": all["noon"]})
		time.Sleep(60 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"00:00:20", "00:00:40", "00:01:00", "00:01:20", "00:01:40", "00:02:00"}, fired["seconds"])
		require.Empty(t, fired["minutes"], "it was taken away before")
		require.True(t, timers.Next("minutes").IsZero())
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"00:00:00"}, fired["noon"])
		require.NoError(t, timers.Stop(t.Context()))
	})
}
