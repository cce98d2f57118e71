package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
)

// manifestName is the file that describes a function in its folder. It is not part of the package.
const manifestName = "hanshu.json"

// manifest is what hanshu.json may say. What it leaves out is left as it is on the server; "" clears a text.
type manifest struct {
	Name               string            `json:"name,omitempty"`
	Package            string            `json:"package,omitempty"`
	Description        *string           `json:"description,omitempty"`
	Runtime            string            `json:"runtime,omitempty"`
	Handler            string            `json:"handler,omitempty"`
	InitializerHandler *string           `json:"initializer_handler,omitempty"`
	InitializerTimeout *int              `json:"initializer_timeout,omitempty"` // seconds
	MemorySize         int               `json:"memory_size,omitempty"`         // MB
	Timeout            int               `json:"timeout,omitempty"`             // seconds
	Egress             *string           `json:"egress,omitempty"`              // none, open or a list
	Isolation          *string           `json:"isolation,omitempty"`           // native or oci
	Agency             *string           `json:"agency,omitempty"`              // whose rights on this server its calls have
	UserData           map[string]string `json:"user_data"`                     // all of it, where it is there at all
	Dependencies       []string          `json:"dependencies"`                  // NAME or NAME:VERSION, in order; likewise
}

// maxManifest bounds hanshu.json, in bytes.
const maxManifest = 1 << 20

// readManifest gives an empty manifest for a file that is not there. A key that it does not know is a mistake.
func readManifest(path string) (manifest, error) {
	var m manifest
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, usagef("%v", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return m, usagef("%v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return m, usagef("%s: %q cannot be a JSON %s", path, kind.Field, kind.Value)
		}
		return m, usagef("%s: %v", path, err)
	}
	if dec.More() {
		return m, usagef("%s: there is something behind the object", path)
	}
	return m, nil
}

// functionName is the server's rule for names.
var functionName = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_-]{0,58}[A-Za-z0-9])?$`)

func checkName(name string) error {
	if !functionName.MatchString(name) {
		return usagef("%.80q cannot name a function: 1 to 60 letters, digits, '-' or '_', starting with a letter and ending with a letter or digit", name)
	}
	return nil
}
