package app

import (
	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/templates"
)

var (
	_ control.TestEventStore   = (*store.DB)(nil)
	_ control.TagStore         = (*store.DB)(nil)
	_ control.ApplicationStore = (*store.DB)(nil)
)

// newApplications makes the use cases on templates, each for the newest runtime of its family that is here.
func newApplications(db *store.DB, functions *control.Functions, triggers *control.Triggers, catalogue *lang.Catalogue) (*control.Applications, error) {
	all, err := templates.All()
	if err != nil {
		return nil, err
	}
	list := catalogue.List()
	for i := range all {
		found := false
		for _, r := range list {
			if all[i].Fits(r.Name) && (r.Status == lang.StatusExact || !found && r.Status == lang.StatusServed) {
				all[i].Runtime, found = r.Name, found || r.Status == lang.StatusExact
			}
		}
	}
	return control.NewApplications(control.ApplicationsConfig{Store: db, Functions: functions, Triggers: triggers, Templates: all}), nil
}

// runtimeTypes lists the runtimes that are served here.
func runtimeTypes(catalogue *lang.Catalogue) func() []functiongraph.RuntimeType {
	return func() []functiongraph.RuntimeType {
		var list []functiongraph.RuntimeType
		for _, r := range catalogue.List() {
			if r.Status != lang.StatusMissing {
				list = append(list, functiongraph.RuntimeType{Type: r.Name, DisplayName: r.Title})
			}
		}
		return list
	}
}
