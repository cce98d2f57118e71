package control

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Reserve has so many instances of a version kept loaded, whether calls come or not; 0 ends that. idle allows them to be frozen
// between calls. Errors: CodeInvalid, field "count"; CodeQuota, field "count", when this server cannot keep as many; CodeUnsupported,
// field "function_urn", for an alias: instances are of a version, and would not follow it.
func (s *Functions) Reserve(ctx context.Context, project string, urn faas.URN, count int, idle bool) (*faas.Function, error) {
	key, err := s.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	if urn.Alias != "" {
		return nil, faas.Errorf(faas.CodeUnsupported, "function_urn", "instances are reserved for a version and not for an alias; alias %q leads to version %q now", urn.Alias, key.Version)
	}
	others, err := s.reservedBeside(ctx, key)
	if err != nil {
		return nil, err
	}
	f, err := s.cfg.Store.UpdateFunction(ctx, key, s.cfg.Quota, func(f *faas.Function) error {
		f.Spec.Reserved, f.Spec.ReservedIdle = count, idle && count > 0
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

// reservedBeside counts the reserved instances of all other versions.
func (s *Functions) reservedBeside(ctx context.Context, key faas.FunctionKey) (int, error) {
	all, err := s.cfg.Store.Reserved(ctx, "")
	n := 0
	for _, f := range all {
		if f.Key() != key {
			n += f.Spec.Reserved
		}
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
