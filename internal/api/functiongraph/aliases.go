package functiongraph

import (
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// aliasRequest is CreateVersionAliasRequestBody and UpdateVersionAliasRequestBody, which has no name (reference 1.2).
type aliasRequest struct {
	Name        string                    `json:"name"`
	Version     string                    `json:"version"`
	Description *string                   `json:"description"`
	Weights     map[string]int            `json:"additional_version_weights"`
	Strategies  map[string]strategyOfRule `json:"additional_version_strategy"`
}

// strategyOfRule is VersionStrategy.
type strategyOfRule struct {
	CombineType string      `json:"combine_type"` // "and" or "or"
	Rules       []aliasRule `json:"rules"`
}

// aliasRule is VersionStrategyRules.
type aliasRule struct {
	RuleType string `json:"rule_type"`
	Param    string `json:"param"`
	Op       string `json:"op"`
	Value    string `json:"value"`
}

// aliasAnswer is CreateVersionAliasResponseBody, ShowVersionAliasResponseBody, and with the strategy more than UpdateVersionAliasResponseBody
// and ListVersionAliasResult have.
type aliasAnswer struct {
	Name         string                    `json:"name"`
	Version      string                    `json:"version"`
	Description  string                    `json:"description"`
	LastModified string                    `json:"last_modified"`
	AliasURN     string                    `json:"alias_urn"`
	Weights      map[string]int            `json:"additional_version_weights,omitempty"`
	Strategies   map[string]strategyOfRule `json:"additional_version_strategy,omitempty"`
}

func toAlias(a *faas.Alias, region string) aliasAnswer {
	urn := faas.URN{Region: region, Project: a.Key.Project, Package: a.Key.Package, Name: a.Key.Name, Alias: a.Name}
	answer := aliasAnswer{
		Name: a.Name, Version: a.Key.Version, Description: a.Description, AliasURN: urn.String(),
		LastModified: a.ModifiedAt.UTC().Format(time.RFC3339),
	}
	more := a.Additional
	switch {
	case more == nil:
	case more.Rules == nil:
		answer.Weights = map[string]int{more.Version: more.Weight}
	default:
		s := strategyOfRule{CombineType: "and"}
		if more.Any {
			s.CombineType = "or"
		}
		for _, r := range more.Rules {
			s.Rules = append(s.Rules, aliasRule{RuleType: r.Kind, Param: r.Name, Op: r.Op, Value: r.Value})
		}
		answer.Strategies = map[string]strategyOfRule{more.Version: s}
	}
	return answer
}

// set reads what an owner sets. An alias has one additional version at most, by weight or by rules.
func (q *aliasRequest) set() (control.SetAlias, error) {
	set := control.SetAlias{Version: q.Version, Description: q.Description}
	if len(q.Weights)+len(q.Strategies) > 1 {
		return set, faas.Errorf(faas.CodeInvalid, "additional_version",
			"an alias can have one additional version, by additional_version_weights or by additional_version_strategy")
	}
	for version, weight := range q.Weights {
		set.Additional = &faas.Additional{Version: version, Weight: weight}
	}
	for version, s := range q.Strategies {
		more := &faas.Additional{Version: version, Any: s.CombineType == "or"}
		switch {
		case s.CombineType != "" && s.CombineType != "and" && s.CombineType != "or":
			return set, faas.Errorf(faas.CodeInvalid, "additional_version", "combine_type %.40q must be and or or", s.CombineType)
		case len(s.Rules) == 0:
			return set, faas.Errorf(faas.CodeInvalid, "additional_version", "the strategy of version %.80q has no rules", version)
		}
		for _, r := range s.Rules {
			more.Rules = append(more.Rules, faas.AliasRule{Kind: r.RuleType, Name: r.Param, Op: r.Op, Value: r.Value})
		}
		set.Additional = more
	}
	return set, nil
}

// decodeAlias is target with what the body of a change sets.
func (a *api) decodeAlias(r *http.Request) (project string, urn faas.URN, name string, set control.SetAlias, err error) {
	if project, urn, err = a.target(r, auth.ActionWrite); err != nil {
		return
	}
	var q aliasRequest
	if err = httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return
	}
	set, err = q.set()
	return project, urn, q.Name, set, err
}

func (a *api) createAlias(w http.ResponseWriter, r *http.Request) error {
	project, urn, name, set, err := a.decodeAlias(r)
	if err != nil {
		return err
	}
	made, err := a.Versions.CreateAlias(r.Context(), project, urn, name, set)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toAlias(made, a.Functions.Region()))
}

// updateAlias replaces what an alias leads to; a name in the body must be that of the path.
func (a *api) updateAlias(w http.ResponseWriter, r *http.Request) error {
	project, urn, name, set, err := a.decodeAlias(r)
	if err != nil {
		return err
	}
	path := r.PathValue("alias_name")
	if name != "" && name != path {
		return faas.Errorf(faas.CodeInvalid, "alias", "name %.80q is not the alias of the path, and an alias cannot be renamed", name)
	}
	changed, err := a.Versions.UpdateAlias(r.Context(), project, urn, path, set)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toAlias(changed, a.Functions.Region()))
}

func (a *api) showAlias(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := a.Versions.Alias(r.Context(), project, urn, r.PathValue("alias_name"))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toAlias(found, a.Functions.Region()))
}

func (a *api) listAliases(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := a.Versions.Aliases(r.Context(), project, urn)
	if err != nil {
		return err
	}
	answer := []aliasAnswer{}
	for _, one := range found {
		answer = append(answer, toAlias(one, a.Functions.Region()))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) deleteAlias(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Versions.DeleteAlias(r.Context(), project, urn, r.PathValue("alias_name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
