package control

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Reserve has so many instances of a version kept loaded, whether calls come or not; 0 ends that. idle allows them to be frozen
// between calls. For an alias they are of its main version, and follow it when it is led elsewhere. Errors: CodeInvalid, field "count";
// CodeQuota, field "count", when this server cannot keep as many.
func (s *Functions) Reserve(ctx context.Context, project string, urn faas.URN, count int, idle bool) (*faas.Function, error) {
	key, err := s.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	held, err := s.reserved(ctx)
	if err != nil {
		return nil, err
	}
	change := func(f *faas.Function) error {
		before, _ := f.Spec.Keeps()
		if urn.Alias == "" {
			f.Spec.Reserved, f.Spec.ReservedIdle = count, idle && count > 0
		} else if f.Spec.AliasReserve = nil; count != 0 {
			f.Spec.AliasReserve = &faas.AliasReserve{Alias: urn.Alias, Count: count, Idle: idle}
		}
		if err := f.Spec.Check(); err != nil {
			return err
		}
		after, _ := f.Spec.Keeps()
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

// reserved counts the reserved instances of all versions.
func (s *Functions) reserved(ctx context.Context) (n int, err error) {
	all, err := s.cfg.Store.Reserved(ctx, "")
	for _, f := range all {
		count, _ := f.Spec.Keeps()
		n += count
	}
	return n, err
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
