package functiongraph

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// importRequest is ImportFunctionRequestBody.
type importRequest struct {
	FuncName string      `json:"func_name"`
	FileName string      `json:"file_name"`
	FileType string      `json:"file_type"`
	FileCode packageFile `json:"file_code"`
	Package  string      `json:"package"`
}

// maxTemplate bounds the YAML file of an import, in bytes.
const maxTemplate = 1 << 20

func (a *api) importFunction(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var q importRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	if q.FileType != "" && q.FileType != "zip" {
		return faas.Errorf(faas.CodeInvalid, "file_type", "file_type %.40q must be zip", q.FileType)
	}
	t, code, err := openImport(q.FileCode)
	if err != nil {
		return err
	}
	n, err := a.fromTemplate(t, &q)
	if err != nil {
		return err
	}
	n.Code.Data = code
	if n.Code.Kind == faas.KindOBS {
		n.Code.Data, n.Code.Pulled = nil, code
	}
	if len(t.uses) > 0 {
		ids, err := a.Dependencies.Find(r.Context(), project, t.uses)
		if err != nil {
			return err
		}
		n.Settings.Dependencies = &ids
	}
	f, err := a.Functions.Create(r.Context(), project, n)
	if err != nil {
		return err
	}
	return a.answer(w, r, f)
}

// openImport takes an export apart: one YAML file at the top, and the code. That is a package below code/, as exports of this server
// have it, or the files of the package beside the YAML file, as the vendor's have. An image has none. Errors: CodeInvalid, field
// "file_code", "templates" for not one YAML file, or "template"; CodeTooLarge, field "func_code".
func openImport(data []byte) (t *templateOf, code []byte, err error) {
	in, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, faas.Errorf(faas.CodeInvalid, "file_code", "file_code is not a zip archive in base64")
	}
	var files []*zip.File
	for _, entry := range in.File {
		name := strings.ToLower(entry.Name)
		isTemplate := !strings.Contains(name, "/") && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml"))
		switch {
		case !isTemplate:
			files = append(files, entry)
			continue
		case t != nil:
			return nil, nil, faas.Errorf(faas.CodeInvalid, "templates", "the import holds several YAML files; one is allowed")
		}
		text, err := readEntry(entry, maxTemplate)
		if err != nil {
			return nil, nil, err
		}
		if t, err = readTemplate(text); err != nil {
			return nil, nil, err
		}
	}
	if t == nil {
		return nil, nil, faas.Errorf(faas.CodeInvalid, "templates", "the import holds no YAML file that describes a function")
	}
	name, _ := t.fields["code_filename"].(string)
	switch {
	case len(files) == 0:
	case len(files) == 1 && (files[0].Name == codeFolder+name || files[0].Name == name):
		code, err = readEntry(files[0], faas.MaxPackageBytes)
	default:
		code, err = packAgain(files)
	}
	return t, code, err
}

// packAgain makes a package of files of an import, as they stand there.
func packAgain(files []*zip.File) ([]byte, error) {
	var buf bytes.Buffer
	out := zip.NewWriter(&buf)
	for _, f := range files {
		if err := out.Copy(f); err != nil {
			return nil, faas.Errorf(faas.CodeInvalid, "file_code", "%.200q of the import cannot be read", f.Name)
		}
	}
	err := out.Close()
	return buf.Bytes(), err
}

// readEntry unpacks a file of bounded size, whatever its head claims.
func readEntry(entry *zip.File, most int64) ([]byte, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, faas.Errorf(faas.CodeInvalid, "file_code", "%.200q of the import cannot be read", entry.Name)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case int64(len(data)) > most:
		return nil, faas.Errorf(faas.CodeTooLarge, "func_code", "%.200q of the import has over %d bytes", entry.Name, most)
	case err != nil:
		return nil, faas.Errorf(faas.CodeInvalid, "file_code", "%.200q of the import cannot be read: it is damaged", entry.Name)
	}
	return data, nil
}

// templateOf is the function that a YAML file describes.
type templateOf struct {
	name   string
	fields map[string]any // by their names in the API
	uses   []control.KnownDependency
}

// readTemplate reads the resource of a YAML file. What an answer tells of a function and a request cannot set is passed over; a
// property of no function is refused. Error: CodeInvalid, field "template".
func readTemplate(text []byte) (*templateOf, error) {
	invalid := func(format string, args ...any) error {
		return faas.Errorf(faas.CodeInvalid, "template", format, args...)
	}
	var file template
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, invalid("the YAML file of the import cannot be read: %.200s", err)
	}
	if len(file.Resources) != 1 {
		return nil, invalid("the YAML file describes %d resources; one function is wanted", len(file.Resources))
	}
	t := &templateOf{fields: map[string]any{}}
	for name, resource := range file.Resources {
		if resource.Type != templateType {
			return nil, invalid("resource %.80q of the YAML file is of type %.80q and not %s", name, resource.Type, templateType)
		}
		t.name = name
		if err := t.readProperties(resource.Properties); err != nil {
			return nil, invalid("%s", err)
		}
	}
	return t, nil
}

func (t *templateOf) readProperties(properties map[string]any) error {
	fields, told := propertyNames()
	var ids []string
	known := map[string]control.KnownDependency{}
	for key, value := range properties {
		var err error
		plain := plainName(key)
		field, ok := fields[plain]
		switch {
		case plain == "dependencies":
			known, err = readKnown(value)
		case field == "depend_version_list":
			err = convert(value, &ids)
		case plain == "userdata":
			t.fields[field], err = objectText(value)
		case ok:
			t.fields[field] = value
		case !slices.Contains(told, plain):
			return fmt.Errorf("property %.80q of the YAML file is none of a function", key)
		}
		if err != nil {
			return fmt.Errorf("property %.80q of the YAML file cannot be read", key)
		}
	}
	for _, id := range ids {
		d := known[id]
		d.ID = id
		t.uses = append(t.uses, d)
	}
	return nil
}

// readKnown reads what dependencies are called, by their ids.
func readKnown(value any) (map[string]control.KnownDependency, error) {
	var list []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		ETag string `json:"etag"`
	}
	err := convert(value, &list)
	known := map[string]control.KnownDependency{}
	for _, d := range list {
		known[d.ID] = control.KnownDependency{Name: d.Name, ETag: d.ETag}
	}
	return known, err
}

// objectText gives an object that was written out as the text that the API has.
func objectText(value any) (string, error) {
	if text, ok := value.(string); ok {
		return text, nil
	}
	text, err := json.Marshal(value)
	return string(text), err
}

// convert brings what was read as YAML into a type with JSON names.
func convert(value, to any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// plainName is a property without the letter case and joints in which writings of it differ.
func plainName(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }

// propertyNames gives the settable fields of a function, and all that answers tell of one, by their plain names.
func propertyNames() (fields map[string]string, told []string) {
	fields = map[string]string{}
	for _, name := range settable() {
		fields[plainName(name)] = name
	}
	t := reflect.TypeFor[functionAnswer]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		told = append(told, plainName(name))
	}
	return fields, told
}

// fromTemplate makes the request that would create the function, and reads that. The name and package of the import come before those
// of the export.
func (a *api) fromTemplate(t *templateOf, q *importRequest) (control.NewFunction, error) {
	fields := maps.Clone(t.fields)
	fields["func_name"] = cmp.Or(q.FuncName, t.name)
	if q.Package != "" {
		fields["package"] = q.Package
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return control.NewFunction{}, faas.Errorf(faas.CodeInvalid, "template", "the YAML file of the import cannot be read: %.200s", err)
	}
	n, err := a.decodeCreate(body)
	var e *faas.Error
	if errors.As(err, &e) && e.Field == "body" {
		err = faas.Errorf(faas.CodeInvalid, "template", "the YAML file describes no function: %s", e.Message)
	}
	return n, err
}
