package functiongraph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

func (a *api) createFunction(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	n, err := a.decodeCreate(httpkit.BodyOf(r.Context()))
	if err != nil {
		return err
	}
	f, err := a.Functions.Create(r.Context(), project, n)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "function "+f.Package+"/"+f.Name)
	return a.answer(w, r, f)
}

// answer writes a function as the answers of create, config, code-free updates do.
func (a *api) answer(w http.ResponseWriter, r *http.Request, f *faas.Function) error {
	o, err := a.owner(r, f.Project)
	if err != nil {
		return err
	}
	answer := toFunction(f, o, a.Functions.Notice(f.Spec.Runtime))
	if answer.Dependencies, err = a.dependenciesOf(r, f, o); err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// maxPage is the default and the cap of maxitems.
const maxPage = 400

func (a *api) listFunctions(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	marker, err := queryNumber("marker", query.Get("marker"))
	if err != nil {
		return err
	}
	limit, err := queryNumber("maxitems", query.Get("maxitems"))
	if err != nil {
		return err
	}
	if limit == 0 || limit > maxPage {
		limit = maxPage
	}
	found, total, err := a.Functions.List(r.Context(), project, control.ListQuery{
		Package: query.Get("package_name"), NamePart: query.Get("func_name"), Offset: marker, Limit: int(limit),
	})
	if err != nil {
		return err
	}
	o, err := a.owner(r, project)
	if err != nil {
		return err
	}
	list := listAnswer{Functions: []functionAnswer{}, NextMarker: min(marker+int64(len(found)), total), Count: total}
	for _, f := range found {
		list.Functions = append(list.Functions, toFunction(f, o, ""))
	}
	return httpkit.WriteJSON(w, http.StatusOK, list)
}

// queryNumber reads a number of a query; "" is 0.
func queryNumber(name, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, faas.Errorf(faas.CodeInvalid, name, "%s %.40q must be a number from 0", name, text)
	}
	return n, nil
}

func (a *api) showFunctionConfig(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	f, err := a.Functions.Get(r.Context(), project, urn)
	if err != nil {
		return err
	}
	return a.answer(w, r, f)
}

func (a *api) updateFunctionConfig(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	set, err := a.decodeConfig(httpkit.BodyOf(r.Context()), urn)
	if err != nil {
		return err
	}
	f, err := a.Functions.UpdateConfig(r.Context(), project, urn, set)
	if err != nil {
		return err
	}
	return a.answer(w, r, f)
}

// showFunctionCode answers the code itself as base64, whatever way it came. A package that came from a URL and is larger
// than what the API takes in is answered by its link alone.
func (a *api) showFunctionCode(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	f, code, err := a.Functions.Code(r.Context(), project, urn)
	if err != nil {
		return err
	}
	defer code.Close()
	o, err := a.owner(r, project)
	if err != nil {
		return err
	}
	answer := toCode(f, o)
	if answer.Dependencies, err = a.dependenciesOf(r, f, o); err != nil {
		return err
	}
	if f.Code.Kind == faas.KindImage {
		return httpkit.WriteJSON(w, http.StatusOK, answer)
	}
	if f.Code.Size > faas.MaxPackageBytes {
		answer.FuncCode = &funcCodeAnswer{Link: f.Code.URL}
		return httpkit.WriteJSON(w, http.StatusOK, answer)
	}
	return streamCode(w, answer, f.Code.URL, code)
}

// streamCode writes an answer with a package inside, never holding the package in memory. A package that proves damaged
// while it is read ends the connection, as the answer has begun by then.
func streamCode(w http.ResponseWriter, answer codeAnswer, link string, code io.Reader) error {
	head, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	tail, err := json.Marshal(link)
	if err != nil {
		return err
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	head = append(bytes.TrimSuffix(head, []byte("}")), `,"func_code":{"file":"`...)
	if _, err := w.Write(head); err != nil {
		return nil // the client went away
	}
	enc := base64.NewEncoder(base64.StdEncoding, w)
	if _, err := io.Copy(enc, code); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return nil // the client went away
	}
	if link != "" {
		_, _ = w.Write(append([]byte(`","link":`), append(tail, "}}"...)...))
		return nil
	}
	_, _ = w.Write([]byte(`"}}`))
	return nil
}

func (a *api) updateFunctionCode(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	update, err := a.decodeCode(httpkit.BodyOf(r.Context()))
	if err != nil {
		return err
	}
	f, err := a.Functions.UpdateCode(r.Context(), project, urn, update)
	if err != nil {
		return err
	}
	o, err := a.owner(r, project)
	if err != nil {
		return err
	}
	answer := toCode(f, o)
	if answer.Dependencies, err = a.dependenciesOf(r, f, o); err != nil {
		return err
	}
	answer.FuncCode = &funcCodeAnswer{}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) updateMaxInstances(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var body maxInstanceRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	if body.MaxInstanceNum == nil {
		return faas.Errorf(faas.CodeInvalid, "concurrency", "max_instance_num must be given")
	}
	f, err := a.Functions.SetMaxInstances(r.Context(), project, urn, *body.MaxInstanceNum)
	if err != nil {
		return err
	}
	return a.answer(w, r, f)
}

func (a *api) deleteFunction(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Functions.Delete(r.Context(), project, urn); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) updateCollectState(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	state := r.PathValue("state")
	if state != "true" && state != "false" {
		return faas.Errorf(faas.CodeInvalid, "state", "state %.40q must be true or false", state)
	}
	if err := a.Functions.SetPinned(r.Context(), project, urn, state == "true"); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// listQuotas answers the quotas that hold on this server; the vendor's others have no meaning here.
func (a *api) listQuotas(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	used, quota, err := a.Functions.Usage(r.Context(), project)
	if err != nil {
		return err
	}
	reserved, mostReserved, err := a.Functions.ReservedQuota(r.Context(), project)
	if err != nil {
		return err
	}
	var answer quotasAnswer
	answer.Quotas.Resources = []resourceAnswer{
		{Type: "fgs_func_scale_down_timeout", Quota: int64(a.IdleTimeout.Seconds())},
		{Type: "fgs_func_num", Quota: quota.Functions, Used: used.Functions},
		{Type: "fgs_func_code_size", Quota: quota.CodeBytes >> 20, Used: (used.CodeBytes + 1<<20 - 1) >> 20, Unit: "MB"},
		{Type: "fgs_on_demand_instance_limit", Quota: faas.MaxInstancesLimit},
	}
	if mostReserved > 0 {
		answer.Quotas.Resources = append(answer.Quotas.Resources, resourceAnswer{Type: "fgs_func_occurs", Quota: int64(mostReserved), Used: int64(reserved)})
	}
	if a.Flows != nil {
		_, flows, err := a.Flows.List(r.Context(), faas.FlowFilter{Project: project, Limit: 1})
		if err != nil {
			return err
		}
		answer.Quotas.Resources = append(answer.Quotas.Resources, resourceAnswer{Type: "fgs_workflow_num", Quota: faas.MaxFlows, Used: flows})
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}
