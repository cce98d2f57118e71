package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// occurrences lists those of a day and a half in UTC, minutes only.
func occurrences(t *testing.T, text, from string, n int) []string {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", from)
	require.NoError(t, err)
	s, err := Parse("Cron", text, at, NewZones(time.UTC))
	require.NoError(t, err)
	var list []string
	for range n {
		next := s.Next(at)
		require.True(t, next.After(at), "%v is not after %v", next, at)
		require.Equal(t, next, s.Next(next.Add(-time.Second)), "the same occurrence from nearer")
		at = next
		list = append(list, at.UTC().Format("02 15:04"))
	}
	return list
}

// TestClockChanges holds both changes of three zones, one of them of half an hour, to the rule: nothing missed, nothing doubled.
func TestClockChanges(t *testing.T) {
	for _, c := range []struct {
		name, text, from string
		want             []string
	}{
		{"Berlin spring, inside", "CRON_TZ=Europe/Berlin 0 30 2 * * *", "2026-03-27 12:00", []string{"28 01:30", "29 01:00", "30 00:30"}},
		{"Berlin spring, before and behind", "CRON_TZ=Europe/Berlin 0 0 1,4 * * *", "2026-03-28 12:00", []string{"29 00:00", "29 02:00", "29 23:00"}},
		{"Berlin spring, twenty minutes", "CRON_TZ=Europe/Berlin 0 */20 2 * * *", "2026-03-28 12:00", []string{"29 01:00", "30 00:00", "30 00:20"}},
		{"Berlin spring, every hour", "CRON_TZ=Europe/Berlin 0 30 * * * *", "2026-03-28 23:40", []string{"29 00:30", "29 01:30", "29 02:30"}},
		{"Berlin spring, on the change", "CRON_TZ=Europe/Berlin 0 0 * * * *", "2026-03-29 00:00", []string{"29 01:00", "29 02:00"}},
		{"Berlin autumn, inside", "CRON_TZ=Europe/Berlin 0 30 2 * * *", "2026-10-24 12:00", []string{"25 00:30", "26 01:30"}},
		{"Berlin autumn, from between", "CRON_TZ=Europe/Berlin 0 30 2 * * *", "2026-10-25 01:10", []string{"26 01:30"}},
		{"Berlin autumn, two", "CRON_TZ=Europe/Berlin 0 0 2,3 * * *", "2026-10-24 12:00", []string{"25 00:00", "25 02:00", "26 01:00"}},
		{"Berlin autumn, every hour", "CRON_TZ=Europe/Berlin 0 30 * * * *", "2026-10-24 23:40", []string{"25 00:30", "25 01:30", "25 02:30"}},
		{"New York spring", "CRON_TZ=America/New_York 0 30 2 * * *", "2026-03-07 12:00", []string{"08 07:00", "09 06:30"}},
		{"New York autumn", "CRON_TZ=America/New_York 0 30 1 * * *", "2026-10-31 12:00", []string{"01 05:30", "02 06:30"}},
		{"New York autumn, every hour", "CRON_TZ=America/New_York 0 30 * * * *", "2026-11-01 05:00", []string{"01 05:30", "01 06:30", "01 07:30"}},
		{"Lord Howe spring, half an hour", "CRON_TZ=Australia/Lord_Howe 0 15 2 * * *", "2026-10-02 12:00", []string{"02 15:45", "03 15:30", "04 15:15"}},
		{"Lord Howe autumn, half an hour", "CRON_TZ=Australia/Lord_Howe 0 45 1 * * *", "2026-04-03 12:00", []string{"03 14:45", "04 14:45", "05 15:15"}},
		{"Lord Howe autumn, every hour", "CRON_TZ=Australia/Lord_Howe 0 45 * * * *", "2026-04-04 14:00", []string{"04 14:45", "04 15:15", "04 16:15"}},
		{"either day field", "0 0 0 13 * FRI", "2026-11-11 00:00", []string{"13 00:00", "20 00:00", "27 00:00"}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, occurrences(t, c.text, c.from, len(c.want))) })
	}
}

// TestEveryMinute compares an every-minute schedule with the minutes there are, on the days around all changes of a year.
func TestEveryMinute(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"} {
		s, err := Parse("Cron", "CRON_TZ="+zone+" 0 * * * * *", time.Time{}, NewZones(time.UTC))
		require.NoError(t, err)
		for _, day := range []string{"2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"} {
			at, err := time.Parse(time.DateOnly, day)
			require.NoError(t, err)
			at = at.Add(-24 * time.Hour)
			for range 3 * 24 * 60 {
				next := s.Next(at)
				if !next.Equal(at.Add(time.Minute)) {
					t.Fatalf("%s: behind %v comes %v", zone, at, next.UTC())
				}
				at = next
			}
		}
	}
}

func TestFixedRates(t *testing.T) {
	since := time.Date(2026, 11, 21, 10, 0, 0, 5e6, time.UTC)
	for _, c := range []struct {
		kind, text string
		every      time.Duration
	}{
		{"Rate", "1m", time.Minute}, {"Rate", "60m", time.Hour}, {"Rate", "24h", 24 * time.Hour}, {"Rate", "30d", 720 * time.Hour},
		{"Cron", "@every 30m", 30 * time.Minute}, {"Cron", "@every 1.5h", 90 * time.Minute}, {"Cron", "CRON_TZ=Asia/Tokyo @every 2h30m", 150 * time.Minute},
	} {
		s, err := Parse(c.kind, c.text, since, NewZones(time.UTC))
		require.NoError(t, err, c.text)
		for _, after := range []time.Duration{-time.Hour, 0, time.Second, c.every - time.Millisecond} {
			require.Equal(t, since.Add(c.every), s.Next(since.Add(after)), "%s behind %v", c.text, after)
		}
		require.Equal(t, since.Add(1001*c.every), s.Next(since.Add(1000*c.every)), c.text)
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ kind, text string }{
		{"Rate", ""}, {"Rate", "m"}, {"Rate", "0m"}, {"Rate", "61m"}, {"Rate", "25h"}, {"Rate", "31d"}, {"Rate", "1s"}, {"Rate", "-1m"}, {"Rate", "1.5h"},
		{"Cron", ""}, {"Cron", "* * * *"}, {"Cron", "* * * * * * *"}, {"Cron", "60 * * * * *"}, {"Cron", "0 0 24 * * *"}, {"Cron", "0 0 0 L * *"},
		{"Cron", "0 0 0 15W * *"}, {"Cron", "0 0 0 * * 1#2"}, {"Cron", "TZ="}, {"Cron", "CRON_TZ=Mars/Olympus 0 0 0 * * *"},
		{"Cron", "CRON_TZ=../etc/passwd 0 0 0 * * *"}, {"Cron", "CRON_TZ=Local 0 0 0 * * *"}, {"Cron", "@every 10ms"}, {"Cron", "@every"}, {"Cron", "@reboot"},
		{"Cron", "CRON_TZ=UTC CRON_TZ=UTC 0 0 0 * * *"},
	} {
		_, err := Parse(c.kind, c.text, time.Time{}, NewZones(time.UTC))
		require.Error(t, err, "%s %q", c.kind, c.text)
	}
}
