package control

import (
	"context"
	"errors"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/schedule"
)

// Reservation says how many instances of a version are kept loaded, whether calls come or not.
type Reservation struct {
	Count   int  // 0 for none
	Idle    bool // they may be frozen between calls
	Tactics *faas.Tactics
}

// Reserve has so many instances of a version kept loaded, in place of what was asked for before. Errors: CodeInvalid, field "count" or
// "tactics_config"; CodeQuota, field "count", when this server cannot keep as many.
func (s *Functions) Reserve(ctx context.Context, project string, urn faas.URN, r Reservation) (*faas.Function, error) {
	if err := s.checkSchedules(r.Tactics); err != nil {
		return nil, err
	}
	return s.changeKept(ctx, project, urn, func(spec *faas.Spec) {
		if r.Tactics.Empty() {
			r.Tactics = nil
		}
		spec.Reserved, spec.Tactics = r.Count, r.Tactics
		spec.ReservedIdle = r.Idle && (r.Count > 0 || r.Tactics != nil)
	})
}

// SetSnapshot has one instance of a version wait for its first call, loaded and initialised, or has it go. Errors: as Reserve.
func (s *Functions) SetSnapshot(ctx context.Context, project string, urn faas.URN, on bool) (*faas.Function, error) {
	return s.changeKept(ctx, project, urn, func(spec *faas.Spec) { spec.Snapshot = on })
}

// changeKept changes what is kept of a version. It is no change of the function itself.
func (s *Functions) changeKept(ctx context.Context, project string, urn faas.URN, change func(*faas.Spec)) (*faas.Function, error) {
	key, err := s.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	others, err := s.reservedBeside(ctx, key)
	if err != nil {
		return nil, err
	}
	f, err := s.cfg.Store.UpdateFunction(ctx, key, s.cfg.Quota, func(f *faas.Function) error {
		change(&f.Spec)
		count := f.Spec.PeakReserved()
		switch {
		case f.Spec.MaxInstances >= 0 && count > f.Spec.MaxInstances:
			return faas.Errorf(faas.CodeInvalid, "count", "count %d is over the %d instances that the function may have", count, f.Spec.MaxInstances)
		case count > 0 && s.cfg.MaxReserved > 0 && others+count > s.cfg.MaxReserved:
			return faas.Errorf(faas.CodeQuota, "count", "this server keeps at most %d reserved instances, and other functions have %d of them", s.cfg.MaxReserved, others)
		}
		return f.Spec.Check()
	})
	if err != nil {
		return nil, err
	}
	s.cfg.Changes.FunctionChanged(key)
	return f, nil
}

// checkSchedules holds the expressions of tactics to their grammar. Error: CodeInvalid, field "tactics_config".
func (s *Functions) checkSchedules(t *faas.Tactics) error {
	if t == nil {
		return nil
	}
	if err := t.Check(); err != nil {
		return err
	}
	for _, one := range t.Schedules {
		since := one.From
		if since.IsZero() {
			since = time.Unix(0, 0)
		}
		times, err := schedule.Parse(schedule.Cron, one.Cron, since, s.zones)
		if err == nil && (times.Next(since.Add(-time.Second)).IsZero() || !one.Until.IsZero() && !times.Next(since.Add(-time.Second)).Before(one.Until)) {
			err = errors.New("it never happens while the policy is valid")
		}
		if err != nil {
			return faas.Errorf(faas.CodeInvalid, "tactics_config", "cron %.80q of policy %q: %v", one.Cron, one.Name, err)
		}
	}
	return nil
}

// reservedBeside counts the reserved instances of all other versions, at their most.
func (s *Functions) reservedBeside(ctx context.Context, key faas.FunctionKey) (int, error) {
	all, err := s.cfg.Store.Reserved(ctx, "")
	n := 0
	for _, f := range all {
		if f.Key() != key {
			n += f.Spec.PeakReserved()
		}
	}
	return n, err
}

// ReservedQuota tells how many reserved instances a project's versions ask for at their most, and how many this server keeps in all; 0
// where there is no bound.
func (s *Functions) ReservedQuota(ctx context.Context, project string) (used, most int, err error) {
	all, err := s.cfg.Store.Reserved(ctx, project)
	for _, f := range all {
		used += f.Spec.PeakReserved()
	}
	return used, s.cfg.MaxReserved, err
}

// Reserved lists the versions of a project that have reserved instances, now or at times: of one function, where urn is not nil, else
// of all.
func (s *Functions) Reserved(ctx context.Context, project string, urn *faas.URN) ([]*faas.Function, error) {
	all, err := s.cfg.Store.Reserved(ctx, project)
	if err != nil {
		return nil, err
	}
	if urn != nil {
		if _, err := s.key(ctx, project, *urn); err != nil {
			return nil, err
		}
	}
	var found []*faas.Function
	for _, f := range all {
		if f.Spec.Reserved == 0 && f.Spec.Tactics.Empty() { // a snapshot alone
			continue
		}
		if urn == nil || f.Package == urn.Package && f.Name == urn.Name && (urn.Version == "" || f.Version == urn.Version) {
			found = append(found, f)
		}
	}
	return found, nil
}
