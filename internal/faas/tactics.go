package faas

import "time"

// Limits of policies for reserved instances.
const (
	MaxTactics     = 10 // of each kind, on one version
	maxTacticsName = 60
)

// Tactics change how many instances of a version are kept, with time or with its load. Spec.Reserved is the number that holds
// when no schedule does; metrics only add to it (FunctionGraph reference 1.8).
type Tactics struct {
	Schedules []ReservedSchedule
	Metrics   []ReservedMetric
}

// ReservedSchedule keeps Count instances from an occurrence of a cron expression on, until another schedule has one or this one
// expires. Where several occur at the same time, the highest count holds.
type ReservedSchedule struct {
	Name  string
	Cron  string // as package schedule reads it
	Count int
	From  time.Time // zero for always
	Until time.Time // no longer valid from then on; zero for never
}

// ReservedMetric keeps so many instances that no more than Threshold percent of what they can take at a time is taken, and Min at
// the least.
type ReservedMetric struct {
	Name      string
	Threshold int // percent, 1 to 100
	Min       int
}

// Empty tells of tactics that ask for nothing.
func (t *Tactics) Empty() bool { return t == nil || len(t.Schedules) == 0 && len(t.Metrics) == 0 }

// Peak is the highest number that is asked for, apart from what load asks for.
func (t *Tactics) Peak() int {
	most := 0
	if t != nil {
		for _, s := range t.Schedules {
			most = max(most, s.Count)
		}
		for _, m := range t.Metrics {
			most = max(most, m.Min)
		}
	}
	return most
}

// AliasReserve is what the alias whose main version this is keeps loaded of it, beside what the version itself does. It goes where the
// alias goes.
type AliasReserve struct {
	Alias   string // without "!"
	Count   int
	Idle    bool // as Spec.ReservedIdle
	Tactics *Tactics
}

// Keeps gives how many instances are kept loaded in all where no policy says otherwise, and whether they may be frozen between calls.
func (s *Spec) Keeps() (count int, idle bool) {
	own, by := s.Reserved > 0 || !s.Tactics.Empty(), s.AliasReserve
	switch {
	case by == nil:
		return s.Reserved, own && s.ReservedIdle
	case !own:
		return by.Count, by.Idle
	}
	return s.Reserved + by.Count, s.ReservedIdle && by.Idle
}

// KeepsAny tells whether instances of this version are to be kept, now or at times.
func (s *Spec) KeepsAny() bool {
	return s.Reserved > 0 || s.Snapshot || !s.Tactics.Empty() || s.AliasReserve != nil
}

// PeakReserved is the highest number of instances that this version asks to be kept, apart from what load asks for.
func (s *Spec) PeakReserved() int {
	most := max(s.Reserved, s.Tactics.Peak())
	if by := s.AliasReserve; by != nil {
		most += max(by.Count, by.Tactics.Peak())
	}
	if s.Snapshot {
		most = max(most, 1)
	}
	return most
}

// checkPolicies holds both kinds of policies to their rules.
func (s *Spec) checkPolicies() error {
	if err := s.Tactics.Check(); err != nil || s.AliasReserve == nil {
		return err
	}
	return s.AliasReserve.Tactics.Check()
}

// Check holds tactics to their rules, but for the grammar of cron expressions. Error: CodeInvalid, field "tactics_config".
func (t *Tactics) Check() error {
	if t == nil {
		return nil
	}
	if len(t.Schedules) > MaxTactics || len(t.Metrics) > MaxTactics {
		return Errorf(CodeInvalid, "tactics_config", "tactics_config may have at most %d cron_configs and %d metric_configs", MaxTactics, MaxTactics)
	}
	names := map[string]bool{}
	named := func(name string) error {
		if name == "" || len(name) > maxTacticsName || names[name] {
			return Errorf(CodeInvalid, "tactics_config", "each policy must have a name of its own of at most %d bytes, and %.80q is not", maxTacticsName, name)
		}
		names[name] = true
		return nil
	}
	for _, s := range t.Schedules {
		if err := named(s.Name); err != nil {
			return err
		}
		switch {
		case s.Count < 0 || s.Count > MaxInstancesLimit:
			return Errorf(CodeInvalid, "tactics_config", "count %d of policy %q must be 0 to %d", s.Count, s.Name, MaxInstancesLimit)
		case !s.Until.IsZero() && !s.Until.After(s.From):
			return Errorf(CodeInvalid, "tactics_config", "policy %q expires before it starts", s.Name)
		}
	}
	for _, m := range t.Metrics {
		if err := named(m.Name); err != nil {
			return err
		}
		if m.Threshold < 1 || m.Threshold > 100 || m.Min < 0 || m.Min > MaxInstancesLimit {
			return Errorf(CodeInvalid, "tactics_config", "policy %q must have a threshold of 1 to 100 percent and a min of 0 to %d", m.Name, MaxInstancesLimit)
		}
	}
	return nil
}
