package functiongraph

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// transferRoutes lists what moves functions between servers (reference 1.13).
func (a *api) transferRoutes() []httpkit.Route {
	const functions = "/v2/{project_id}/fgs/functions"
	return []httpkit.Route{
		{Method: http.MethodGet, Path: functions + "/{function_urn}/export", Operation: "ExportFunction", Handle: a.exportFunction},
		{Method: http.MethodPost, Path: functions + "/import", Operation: "ImportFunction", MaxBody: maxCodeBody, Handle: a.importFunction},
	}
}

// The vendor documents that an export is a zip with one YAML file and the code in it, and no more (reference 1.13 and 6). The layout
// here is this: <name>.yaml, a template with one resource whose properties are the settings of a function under their names in the API,
// each word begun with a capital letter; and code/<code_filename>, the package as it was sent.
const (
	templateVersion = "v2"
	templateType    = "HC::Serverless::Function"
	codeFolder      = "code/"
)

// template is the YAML file of an export.
type template struct {
	Version   string                      `yaml:"HcCrmTemplateVersion"`
	Resources map[string]templateResource `yaml:"Resources"`
}

type templateResource struct {
	Type       string         `yaml:"Type"`
	Properties map[string]any `yaml:"Properties"`
}

// settable are the fields of a function that a request may set, in the order of the request; the code itself is none.
func settable() []string {
	var names []string
	for _, t := range []reflect.Type{reflect.TypeFor[functionRequest](), reflect.TypeFor[carriedJSON]()} {
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name != "" && name != "func_code" && name != "func_name" {
				names = append(names, name)
			}
		}
	}
	return names
}

// property is the name of a field in a template: memory_size is MemorySize.
func property(field string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(field, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// exportChoice reads which parts are wanted: type, or code and config.
func exportChoice(query url.Values) (code, config bool, err error) {
	flag := func(name string) bool {
		text := query.Get(name)
		if text != "" && text != "true" && text != "false" {
			err = faas.Errorf(faas.CodeInvalid, name, "%s %.40q must be true or false", name, text)
		}
		return text == "true"
	}
	code, config = flag("code"), flag("config")
	switch kind := query.Get("type"); {
	case err != nil:
	case kind != "" && (query.Has("code") || query.Has("config")):
		err = faas.Errorf(faas.CodeInvalid, "type", "type cannot be given together with code or config")
	case kind != "" && kind != "code" && kind != "config":
		err = faas.Errorf(faas.CodeInvalid, "type", "type %.40q must be code or config", kind)
	case kind != "":
		code, config = kind == "code", kind == "config"
	case !code && !config:
		err = faas.Errorf(faas.CodeInvalid, "type", "say what to export: type=code, type=config, or code=true and config=true")
	}
	return code, config, err
}

// exportAnswer is what ExportFunction answers: the request that imports it. file_code comes behind it.
type exportAnswer struct {
	FuncName string `json:"func_name"`
	Package  string `json:"package"`
	FileName string `json:"file_name"`
	FileType string `json:"file_type"`
}

// exportFunction answers a zip in base64, in the form of an ImportFunctionRequestBody: the vendor publishes no schema, and its SDKs
// take nothing but an object. Who asks for application/zip gets the zip itself. A package that proves damaged while it is read ends
// the connection, as the answer has begun by then.
func (a *api) exportFunction(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	code, config, err := exportChoice(r.URL.Query())
	if err != nil {
		return err
	}
	f, data, err := a.Functions.Code(r.Context(), project, urn)
	if err != nil {
		return err
	}
	defer data.Close()
	var text []byte
	if config {
		if text, err = a.template(r, f); err != nil {
			return err
		}
	}
	if f.Code.Kind == faas.KindImage || !code {
		data = nil
	}
	if strings.Contains(r.Header.Get("Accept"), "application/zip") {
		w.Header()["Content-Type"] = []string{"application/zip"}
		w.Header()["Content-Disposition"] = []string{`attachment; filename="` + f.Name + `.zip"`}
		return writeExport(w, f, text, data)
	}
	head, err := json.Marshal(exportAnswer{FuncName: f.Name, Package: f.Package, FileName: f.Name + ".zip", FileType: "zip"})
	if err != nil {
		return err
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	_, _ = w.Write(append(bytes.TrimSuffix(head, []byte("}")), `,"file_code":"`...))
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	if err := writeExport(encoder, f, text, data); err != nil {
		return err
	}
	_ = encoder.Close() // a client that went away needs no more
	_, _ = w.Write([]byte(`"}`))
	return nil
}

// writeExport writes the zip, never holding the package in memory. text and data may be nil. Its errors are those of reading data.
func writeExport(w io.Writer, f *faas.Function, text []byte, data io.Reader) error {
	out := zip.NewWriter(w)
	if text != nil {
		if entry, err := out.CreateHeader(&zip.FileHeader{Name: f.Name + ".yaml", Method: zip.Deflate}); err == nil {
			_, _ = entry.Write(text)
		}
	}
	if data != nil {
		method := zip.Store // a zip gets no smaller
		if f.Code.Source {
			method = zip.Deflate
		}
		entry, err := out.CreateHeader(&zip.FileHeader{Name: codeFolder + f.Code.Filename, Method: method})
		if err == nil {
			_, err = io.Copy(entry, data)
		}
		if err != nil {
			return err
		}
	}
	_ = out.Close() // a client that went away needs no more
	return nil
}

// template writes down the settings of a function. Of secrets there are the names; what dependencies are called stands beside their
// ids, so that another server can find them.
func (a *api) template(r *http.Request, f *faas.Function) ([]byte, error) {
	o, err := a.owner(r, f.Project)
	if err != nil {
		return nil, err
	}
	answer, err := marshal(toFunction(f, o, ""))
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := yaml.Unmarshal(answer, &fields); err != nil { // JSON is YAML, of which numbers come as they are
		return nil, err
	}
	properties := map[string]any{}
	for _, name := range settable() {
		value, ok := fields[name]
		_, carried := f.Spec.Carried[name]
		if ok && value != nil && (carried || !reflect.ValueOf(value).IsZero()) {
			properties[property(name)] = value
		}
	}
	used, err := a.Dependencies.Of(r.Context(), f)
	if err != nil && faas.CodeOf(err) != faas.CodeNotFound {
		return nil, err
	}
	delete(properties, property("depend_version_list"))
	if len(f.Spec.Dependencies) > 0 {
		properties[property("depend_version_list")] = f.Spec.Dependencies
	}
	var named []map[string]any
	for _, v := range used {
		named = append(named, map[string]any{"id": v.VersionID, "name": v.Name, "version": v.Number, "etag": v.ETag})
	}
	if named != nil {
		properties["Dependencies"] = named
	}
	return yaml.Marshal(template{Version: templateVersion, Resources: map[string]templateResource{
		f.Name: {Type: templateType, Properties: properties},
	}})
}
