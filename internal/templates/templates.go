// Package templates holds the functions to begin with: for each a folder with its code and a description.
//
// It must not know how a function is made or run, nor which runtimes a server has.
package templates

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

//go:embed _files
var files embed.FS

// description is template.json.
type description struct {
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Family      string          `json:"family"`  // how the names of its runtimes begin
	Default     string          `json:"default"` // the runtime, where nobody knows of a better one
	Handler     string          `json:"handler"`
	File        string          `json:"file"` // the code, beside the description
	Build       string          `json:"build"`
	Scene       string          `json:"scene"`
	Service     string          `json:"service"`
	Timeout     int             `json:"timeout"` // seconds
	Memory      int             `json:"memory"`  // MB
	UserData    json.RawMessage `json:"user_data"`
	Input       json.RawMessage `json:"input"`
	Output      json.RawMessage `json:"output"`
	Triggers    []struct {
		Kind string          `json:"kind"`
		Data json.RawMessage `json:"data"`
	} `json:"triggers"`
}

// All gives the templates in the order of their ids. Runtime is the one that each was written for, which a server may not have.
func All() ([]faas.Template, error) {
	folders, err := files.ReadDir("_files")
	if err != nil {
		return nil, err
	}
	all := make([]faas.Template, 0, len(folders))
	for _, folder := range folders {
		t, err := read(folder.Name())
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", folder.Name(), err)
		}
		all = append(all, t)
	}
	return all, nil
}

func read(id string) (faas.Template, error) {
	text, err := files.ReadFile(path.Join("_files", id, "template.json"))
	if err != nil {
		return faas.Template{}, err
	}
	var d description
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return faas.Template{}, err
	}
	code, err := files.ReadFile(path.Join("_files", id, d.File))
	if err != nil {
		return faas.Template{}, err
	}
	t := faas.Template{
		ID: id, Title: d.Title, Description: d.Description, Family: d.Family, Runtime: d.Default, Handler: d.Handler,
		Kind: faas.KindInline, Filename: d.File, Code: code, Build: d.Build, Timeout: time.Duration(d.Timeout) * time.Second, MemoryMB: d.Memory,
		UserData: compact(d.UserData), Scene: d.Scene, Service: d.Service, Input: compact(d.Input), Output: compact(d.Output),
	}
	for _, trigger := range d.Triggers {
		t.Triggers = append(t.Triggers, faas.TemplateTrigger{Kind: trigger.Kind, Data: compact(trigger.Data)})
	}
	return t, nil
}

// compact gives JSON without blanks; "" for none.
func compact(raw json.RawMessage) string {
	var buf bytes.Buffer
	if len(raw) == 0 || json.Compact(&buf, raw) != nil {
		return ""
	}
	return buf.String()
}
