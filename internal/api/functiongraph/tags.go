package functiongraph

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// kvItem is KvItem (reference 1.9).
type kvItem struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// tagItem is TagItem.
type tagItem struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// tagsRequest is UpdateFunctionTagsRequestBody.
type tagsRequest struct {
	Action  string   `json:"action"`
	Tags    []kvItem `json:"tags"`
	SysTags []kvItem `json:"sys_tags"`
}

// tagsAnswer is ListFunctionTagsResponseBody.
type tagsAnswer struct {
	Tags    []kvItem `json:"tags"`
	SysTags []kvItem `json:"sys_tags"`
}

// projectTagsAnswer is ListTenantTagsResponseBody.
type projectTagsAnswer struct {
	Tags    []tagItem `json:"tags"`
	SysTags []tagItem `json:"sys_tags"`
}

// resourceQuery is ListEnterpriseResourceRequestBody. Terraform's tags stand in it too.
type resourceQuery struct {
	Action        string    `json:"action"`
	Limit         text64    `json:"limit"`
	Offset        text64    `json:"offset"`
	Matches       []kvItem  `json:"matches"`
	Tags          []tagItem `json:"tags"`
	SysTags       []tagItem `json:"sys_tags"`
	WithoutAnyTag bool      `json:"without_any_tag"`
}

// text64 is a number that clients write as a text or as a number.
type text64 string

// UnmarshalJSON reads either form.
func (t *text64) UnmarshalJSON(raw []byte) error {
	*t = text64(strings.Trim(string(raw), `"`))
	if *t == "null" {
		*t = ""
	}
	return nil
}

// resourcesAnswer is ListEnterpriseResourceResponseBody.
type resourcesAnswer struct {
	Resources  []taggedAnswer `json:"resources"`
	TotalCount int            `json:"total_count"`
}

// countAnswer is ListEnterpriseResourceResponseBody for the action count.
type countAnswer struct {
	TotalCount int `json:"total_count"`
}

// taggedAnswer is ListEnterpriseResourceResult.
type taggedAnswer struct {
	ResourceID     string            `json:"resource_id"`
	ResourceName   string            `json:"resource_name"`
	ResourceDetail map[string]string `json:"resource_detail"`
	Tags           []kvItem          `json:"tags"`
	SysTags        []kvItem          `json:"sys_tags"`
}

// sysEnterprise is the one system tag that is known here: all functions are in enterprise project 0.
const sysEnterprise = "_sys_enterprise_project_id"

// tagRoutes lists the operations of reference 1.9. "functions" is the only resource type.
func (a *api) tagRoutes() []httpkit.Route {
	const functions = "/v2/{project_id}/functions"
	const tags = functions + "/{function_urn}/tags"
	return []httpkit.Route{
		{Method: http.MethodPost, Path: tags + "/create", Operation: "CreateTags", Handle: a.createTags},
		{Method: http.MethodDelete, Path: tags + "/delete", Operation: "DeleteTags", Handle: a.deleteTags},
		{Method: http.MethodGet, Path: tags, Operation: "ListFunctionTags", Handle: a.listTags},
		{Method: http.MethodGet, Path: functions + "/tags", Operation: "ShowProjectTagsList", Handle: a.listProjectTags},
		{Method: http.MethodPost, Path: functions + "/resource-instances/{action}", Operation: "ShowResInstanceInfo", Action: auth.ActionRead, Handle: a.findResources},
	}
}

// readTags reads the body of CreateTags and DeleteTags; action is what it may say, and clients may leave it out.
func readTags(r *http.Request, action string) ([]faas.Tag, error) {
	var q tagsRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return nil, err
	}
	switch {
	case q.Action != "" && q.Action != action:
		return nil, faas.Errorf(faas.CodeInvalid, "action", "action %.40q must be %s", q.Action, action)
	case len(q.SysTags) > 0:
		return nil, faas.Errorf(faas.CodeUnsupported, "tags", "system tags belong to the system and cannot be changed; leave sys_tags out")
	case len(q.Tags) == 0:
		return nil, faas.Errorf(faas.CodeInvalid, "tags", "tags must be given")
	}
	return fromKV(q.Tags), nil
}

func fromKV(items []kvItem) []faas.Tag {
	tags := make([]faas.Tag, 0, len(items))
	for _, i := range items {
		tags = append(tags, faas.Tag(i))
	}
	return tags
}

func toKV(tags []faas.Tag) []kvItem {
	items := make([]kvItem, 0, len(tags))
	for _, t := range tags {
		items = append(items, kvItem(t))
	}
	return items
}

// tagsOfCreate reads the field tags of CreateFunction, a text for which the reference shows no form: a JSON list of {key, value}, or a
// JSON object.
func tagsOfCreate(text string) ([]faas.Tag, error) {
	text = strings.TrimSpace(text)
	var items []kvItem
	if text == "" || json.Unmarshal([]byte(text), &items) == nil {
		return fromKV(items), nil
	}
	var object map[string]string
	if json.Unmarshal([]byte(text), &object) != nil {
		return nil, faas.Errorf(faas.CodeInvalid, "tags", `tags must be JSON in a text, {"key":"value"} or [{"key":"...","value":"..."}]`)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		items = append(items, kvItem{key, object[key]})
	}
	return fromKV(items), nil
}

func (a *api) createTags(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	tags, err := readTags(r, "create")
	if err != nil {
		return err
	}
	if err := a.Tags.Set(r.Context(), project, urn, tags); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) deleteTags(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	tags, err := readTags(r, "delete")
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(tags))
	for _, t := range tags {
		keys = append(keys, t.Key)
	}
	if err := a.Tags.Remove(r.Context(), project, urn, keys); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) listTags(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	tags, err := a.Tags.Of(r.Context(), project, urn)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, tagsAnswer{Tags: toKV(tags), SysTags: []kvItem{}})
}

func (a *api) listProjectTags(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	all, err := a.Tags.All(r.Context(), project)
	if err != nil {
		return err
	}
	answer := projectTagsAnswer{Tags: []tagItem{}, SysTags: []tagItem{}}
	for _, t := range all {
		answer.Tags = append(answer.Tags, tagItem(t))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// findResources searches functions by their tags and names: action filter lists them, count counts them.
func (a *api) findResources(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	action := r.PathValue("action")
	var q resourceQuery
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	if action != "filter" && action != "count" || q.Action != "" && q.Action != action {
		return faas.Errorf(faas.CodeInvalid, "action", "action must be filter or count, and the same in the path and in the body")
	}
	query, none, err := q.query()
	if err != nil {
		return err
	}
	answer := resourcesAnswer{Resources: []taggedAnswer{}}
	var found []control.TaggedFunction
	if !none {
		if found, answer.TotalCount, err = a.Tags.Find(r.Context(), project, query); err != nil {
			return err
		}
	}
	if action == "count" {
		return httpkit.WriteJSON(w, http.StatusOK, countAnswer{answer.TotalCount})
	}
	for _, f := range found {
		urn := f.Function.URN(a.Functions.Region()).String()
		answer.Resources = append(answer.Resources, taggedAnswer{
			ResourceID: urn, ResourceName: f.Function.Name, ResourceDetail: map[string]string{"detailId": urn}, Tags: toKV(f.Tags), SysTags: []kvItem{},
		})
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// query reads what is searched for; none tells that nothing can match.
func (q *resourceQuery) query() (out control.TagQuery, none bool, err error) {
	out = control.TagQuery{Untagged: q.WithoutAnyTag, Limit: 1000}
	for _, m := range q.Matches {
		if m.Key == "resource_name" {
			out.NamePart = m.Value
			continue
		}
		out.With = append(out.With, control.TagValues{Key: m.Key, Values: []string{m.Value}})
	}
	for _, t := range q.Tags {
		out.With = append(out.With, control.TagValues(t))
	}
	for _, t := range q.SysTags {
		ours := t.Key == sysEnterprise && (len(t.Values) == 0 || slices.Contains(t.Values, "0") || slices.Contains(t.Values, "all_granted_eps"))
		none = none || !ours
	}
	if q.Limit != "" {
		if out.Limit, err = strconv.Atoi(string(q.Limit)); err != nil || out.Limit < 1 || out.Limit > 1000 {
			return out, none, faas.Errorf(faas.CodeInvalid, "limit", "limit %.40q must be 1 to 1000", string(q.Limit))
		}
	}
	if q.Offset != "" {
		if out.Offset, err = strconv.Atoi(string(q.Offset)); err != nil || out.Offset < 0 {
			return out, none, faas.Errorf(faas.CodeInvalid, "offset", "offset %.40q must be a number from 0", string(q.Offset))
		}
	}
	return out, none, nil
}
