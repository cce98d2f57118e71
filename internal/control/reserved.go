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

// Reserve has so many instances of a version kept loaded, in place of what was asked for before. For an alias they are of its main
// version, beside that one's own, and follow it when it is led elsewhere. Errors: CodeInvalid, field "count" or "tactics_config";
// CodeQuota, field "count", when this server cannot keep as many.
func (s *Functions) Reserve(ctx context.Context, project string, urn faas.URN, r Reservation) (*faas.Function, error) {
	if err := s.checkSchedules(r.Tactics); err != nil {
		return nil, err
	}
	if r.Tactics.Empty() {
		r.Tactics = nil
	}
	none := r.Count == 0 && r.Tactics == nil
	return s.changeKept(ctx, project, urn, func(spec *faas.Spec) {
		switch {
		case urn.Alias == "":
			spec.Reserved, spec.ReservedIdle, spec.Tactics = r.Count, r.Idle && !none, r.Tactics
		case none:
			spec.AliasReserve = nil
		default:
			spec.AliasReserve = &faas.AliasReserve{Alias: urn.Alias, Count: r.Count, Idle: r.Idle, Tactics: r.Tactics}
		}
	})
}

// SetSnapshot has one instance of a version wait for its first call, loaded and initialised, or has it go. An alias means its main version.
// Errors: as Reserve.
func (s *Functions) SetSnapshot(ctx context.Context, project string, urn faas.URN, on bool) (*faas.Function, error) {
	key, err := s.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	urn.Alias, urn.Version = "", key.Version
	return s.changeKept(ctx, project, urn, func(spec *faas.Spec) { spec.Snapshot = on })
}

// changeKept changes what is kept of a version. It is no change of the function itself.
func (s *Functions) changeKept(ctx context.Context, project string, urn faas.URN, alter func(*faas.Spec)) (*faas.Function, error) {
	key, err := s.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	held, err := s.reserved(ctx)
	if err != nil {
		return nil, err
	}
	change := func(f *faas.Function) error {
		before := f.Spec.PeakReserved()
		alter(&f.Spec)
		if err := f.Spec.Check(); err != nil {
			return err
		}
		after := f.Spec.PeakReserved()
		switch others := held - before; {
		case f.Spec.MaxInstances >= 0 && after > f.Spec.MaxInstances:
			return faas.Errorf(faas.CodeInvalid, "count", "count %d is over the %d instances that the function may have", after, f.Spec.MaxInstances)
		case after > before && s.cfg.MaxReserved > 0 && others+after > s.cfg.MaxReserved:
			return faas.Errorf(faas.CodeQuota, "count", "this server keeps at most %d reserved instances, and other functions have %d of them", s.cfg.MaxReserved, others)
		}
		return nil
	}
	var f *faas.Function
	if urn.Alias != "" {
		f, err = s.cfg.Store.ReserveAlias(ctx, key, urn.Alias, change)
	} else {
		f, err = s.cfg.Store.UpdateFunction(ctx, key, s.cfg.Quota, change)
	}
	if err != nil {
		return nil, err
	}
	s.cfg.Changes.FunctionChanged(f.Key())
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

// reserved counts the reserved instances of all versions, at their most.
func (s *Functions) reserved(ctx context.Context) (n int, err error) {
	all, err := s.cfg.Store.Reserved(ctx, "")
	for _, f := range all {
		n += f.Spec.PeakReserved()
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

// Reserved lists the versions of a project that have reserved instances: of one function, where urn is not nil, else of all.
func (s *Functions) Reserved(ctx context.Context, project string, urn *faas.URN) ([]*faas.Function, error) {
	all, err := s.cfg.Store.Reserved(ctx, project)
	if err != nil || urn == nil {
		return all, err
	}
	key, err := s.key(ctx, project, *urn)
	if err != nil {
		return nil, err
	}
	var found []*faas.Function
	for _, f := range all {
		if f.Package == urn.Package && f.Name == urn.Name && (!urn.Qualified() || f.Version == key.Version) {
			found = append(found, f)
		}
	}
	return found, nil
}
