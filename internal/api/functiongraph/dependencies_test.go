package functiongraph_test

import (
	"time"

	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/control/controltest"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// dependenciesOver makes the use cases on dependencies, where the store keeps them.
func dependenciesOver(functionStore control.FunctionStore, pkgs control.PackageStore, remote []byte) *control.Dependencies {
	kept, _ := functionStore.(control.DependencyStore)
	return control.NewDependencies(control.DependenciesConfig{
		Store: kept, Packages: pkgs, Quota: faas.Quota{Functions: 4, CodeBytes: 1 << 20},
		Fetcher: controltest.Fetcher{"https://bucket.obs.xxx.xxx.com/depends/4f4ae4eb.zip": remote},
		Now:     func() time.Time { return time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC) },
	})
}

// finderOf gives the store's dependencies; nil where it has none.
func finderOf(functionStore control.FunctionStore) control.DependencyFinder {
	if kept, ok := functionStore.(control.DependencyStore); ok {
		return kept
	}
	return nil
}
