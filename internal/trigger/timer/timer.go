// Package timer is the TIMER trigger: calls at fixed rates and by cron expressions.
//
// Which occurrences there are follows from what is stored, and each has an id of its own; so an occurrence that several servers
// see, or one that is handed over again after a crash, becomes one job.
//
// It must not know how occurrences are kept, nor what a call is.
package timer

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/schedule"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Code is the kind's name in requests.
const Code = "TIMER"

// What is done about occurrences that nobody handed over in time: the server was off, or its clock jumped ahead.
const (
	MissedSkip = "skip" // they are left out
	MissedOnce = "once" // the newest happens, late
	MissedAll  = "all"  // they happen, late, the oldest first, at most maxMissed of them
)

const (
	grace     = time.Minute // an occurrence that is later than this is a missed one
	maxMissed = 1000
)

// fields are the rules of event data (FunctionGraph reference, section 4.1).
var fields = []trigger.Field{
	{Name: "name", Need: true, Min: 1, Max: 64},
	{Name: "schedule_type", Need: true, OneOf: []string{schedule.Rate, schedule.Cron}},
	{Name: "schedule", Need: true, Min: 1, Max: schedule.MaxText},
	{Name: "user_event", Max: 2048},
	{Name: "sync_execution", Type: trigger.Bool, Kept: "occurrences are always handed to the queue, so that none is lost"},
}

type data struct {
	Name         string `json:"name"`
	ScheduleType string `json:"schedule_type"`
	Schedule     string `json:"schedule"`
	UserEvent    string `json:"user_event"`
}

// Codes is of trigger.Kind.
func (k *Kind) Codes() []string { return []string{Code} }

// Check is of trigger.Kind.
func (k *Kind) Check(t *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error) {
	checked, err := trigger.Check(Code, fields, set, secrets)
	if err != nil {
		return checked, err
	}
	var d data
	if err := trigger.Decode(checked.Plain, &d); err != nil {
		return checked, err
	}
	times, err := schedule.Parse(d.ScheduleType, d.Schedule, k.cfg.Now(), k.zones)
	if err == nil && times.Next(k.cfg.Now()).IsZero() {
		err = errors.New("it never happens")
	}
	if err != nil {
		return checked, trigger.Bad(Code, "event_data.schedule %.80q: %v", d.Schedule, err)
	}
	checked.Unique = "timer " + t.Key.Project + "/" + t.Key.Package + "/" + t.Key.Name + ":" + t.Qualifier() + " " + d.Name
	return checked, nil
}

// Show is of trigger.Kind. A timer has nothing that the server made.
func (k *Kind) Show(*faas.Trigger, map[string]string, map[string]any) {}

// event is what a function is given (FunctionGraph reference, section 4.2).
type event struct {
	Version   string `json:"version"`
	Time      string `json:"time"`
	Type      string `json:"trigger_type"`
	Name      string `json:"trigger_name"`
	UserEvent string `json:"user_event"`
}

// job makes the job of an occurrence.
func (e *entry) job(at time.Time) faas.Job {
	text, _ := json.Marshal(event{ // of texts alone it cannot fail
		Version: "v1.0", Time: at.In(e.schedule.Zone()).Format(time.RFC3339), Type: Code, Name: e.data.Name, UserEvent: e.data.UserEvent,
	})
	return trigger.NewJob(e.trigger, faas.SourceTimer, text, strconv.FormatInt(at.Unix(), 10))
}

// owed gives the occurrences behind last that are to happen by now, and the next one.
func owed(s schedule.Schedule, last, now time.Time, missed string) (due []time.Time, next time.Time) {
	next = s.Next(last)
	early := now.Add(-grace)
	if !next.IsZero() && next.Before(early) {
		switch missed {
		case MissedAll:
			for ; !next.IsZero() && next.Before(early) && len(due) < maxMissed; next = s.Next(next) {
				due = append(due, next)
			}
		case MissedOnce:
			due = []time.Time{schedule.Newest(s, next, early)}
		}
		if !next.IsZero() && next.Before(early) {
			next = s.Next(early.Add(-time.Second))
		}
	}
	for ; !next.IsZero() && !next.After(now); next = s.Next(next) {
		due = append(due, next)
	}
	return due, next
}
