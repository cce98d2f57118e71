package client

import (
	"cmp"
	"fmt"
	"strings"
)

// Ref names a function, and perhaps a version or alias of it.
type Ref struct {
	Region    string // "" for the client's
	Project   string // "" for the client's
	Package   string
	Name      string
	Qualifier string // a version, or an alias behind "!"; "" for none
}

// ParseRef reads a name, package:name, or a URN of 7 or 8 parts. A name may have an alias behind it: name:!alias,
// package:name:!alias.
func ParseRef(text string) (Ref, error) {
	parts := strings.Split(text, ":")
	var r Ref
	switch {
	case parts[0] == "urn" && (len(parts) == 7 || len(parts) == 8) && parts[1] == "fss" && parts[4] == "function":
		r = Ref{Region: parts[2], Project: parts[3], Package: parts[5], Name: parts[6]}
		if len(parts) == 8 {
			r.Qualifier = parts[7]
		}
	case parts[0] != "urn" && len(parts) == 1:
		r = Ref{Package: "default", Name: parts[0]}
	case parts[0] != "urn" && len(parts) == 2 && strings.HasPrefix(parts[1], "!"):
		r = Ref{Package: "default", Name: parts[0], Qualifier: parts[1]}
	case parts[0] != "urn" && len(parts) == 3 && strings.HasPrefix(parts[2], "!"):
		r = Ref{Package: parts[0], Name: parts[1], Qualifier: parts[2]}
	case parts[0] != "urn" && len(parts) == 2:
		r = Ref{Package: parts[0], Name: parts[1]}
	}
	if r.Name == "" || r.Package == "" || strings.HasSuffix(text, ":") {
		return Ref{}, fmt.Errorf("%.200q names no function: give its name, package:name, or its URN", text)
	}
	return r, nil
}

// URN is the long form.
func (c *Client) URN(r Ref) string {
	urn := "urn:fss:" + cmp.Or(r.Region, c.cfg.Region) + ":" + cmp.Or(r.Project, c.cfg.ProjectID) + ":function:" + r.Package + ":" + r.Name
	if r.Qualifier != "" {
		urn += ":" + r.Qualifier
	}
	return urn
}

// InvocationURL is where the function's calls are posted to.
func (c *Client) InvocationURL(urn string) string {
	return c.cfg.Endpoint + c.functionPath(urn, "/invocations")
}
