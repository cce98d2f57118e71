package control

import (
	"context"
	"slices"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// DependencyFinder is the part of DependencyStore that functions need.
type DependencyFinder interface {
	DependenciesByID(ctx context.Context, project string, ids []string) ([]*faas.DependencyVersion, error)
}

// withLayers finds what settings name, so that they can be applied while the store is locked. Errors: CodeNotFound, field
// "dependency"; CodeInvalid, field "depend_version_list", for too many or one given twice.
func (s *Functions) withLayers(ctx context.Context, project string, set *Settings) error {
	if set.Dependencies == nil || len(*set.Dependencies) == 0 {
		return nil
	}
	ids := *set.Dependencies
	if len(ids) > faas.MaxFunctionDependencies {
		return faas.Errorf(faas.CodeInvalid, "depend_version_list", "depend_version_list has %d entries, over the limit of %d", len(ids), faas.MaxFunctionDependencies)
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return faas.Errorf(faas.CodeInvalid, "depend_version_list", "depend_version_list names %.60q twice", id)
		}
	}
	if s.cfg.Dependencies == nil {
		return faas.NotFound("dependency", ids[0])
	}
	found, err := s.cfg.Dependencies.DependenciesByID(ctx, project, ids)
	if err != nil {
		return err
	}
	set.layers = nil
	for _, v := range found {
		set.layers = append(set.layers, v.Digest)
	}
	return nil
}

// setDependencies gives a function its dependencies, which withLayers has found. An image has none: its code is whole.
func setDependencies(f *faas.Function, ids *[]string, layers []string) error {
	if ids == nil {
		return nil
	}
	if len(*ids) > 0 && f.Spec.Runtime == faas.RuntimeImage {
		return faas.Errorf(faas.CodeInvalid, "depend_version_list", "depend_version_list must be empty when runtime is %s: put what it needs into the image", faas.RuntimeImage)
	}
	f.Spec.Dependencies, f.Code.Layers = slices.Clone(*ids), layers
	return nil
}
