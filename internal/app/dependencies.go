package app

import (
	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/fetch"
	"github.com/hanshu-faas/hanshu/internal/store"
)

var _ control.DependencyStore = (*store.DB)(nil)

// newDependencies makes the use cases on packages that functions share. They count as code of their project.
func (s *Server) newDependencies(db *store.DB, blobs *blob.Disk, fetcher *fetch.Fetcher) *control.Dependencies {
	return control.NewDependencies(control.DependenciesConfig{
		Store: db, Packages: blobs, Fetcher: fetcher, Quota: faas.Quota{Functions: s.cfg.QuotaFunctions, CodeBytes: s.cfg.QuotaCodeBytes},
	})
}

// withDependencies adds to the admin face what it does with them.
func withDependencies(c admin.Config, dependencies *control.Dependencies) admin.Config {
	c.Dependencies = dependencies
	return c
}
