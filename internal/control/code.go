package control

import (
	"bytes"
	"cmp"
	"context"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const maxFilename = 128

// Code is a package as a caller gives it.
type Code struct {
	// Kind is one of the faas.Kind values. "" is told from the rest: KindOBS with a URL, KindZip for a zip, KindInline else.
	Kind     string
	Filename string // "" for one that fits
	URL      string // of KindOBS only
	Data     []byte // of the other kinds: a zip or jar, or for KindInline one bare source file
	Pulled   []byte // of KindOBS only: what the URL held when it was pulled, so that it need not be asked again; nil to ask
}

func (c *Code) empty() bool { return len(c.Data) == 0 && c.URL == "" }

// takeIn checks code, pulls it where it is at a URL, and stores the package. Errors: CodeInvalid with field "code_type",
// "func_code", "func_code.missing", "code_filename" or "code_url"; CodeTooLarge, field "func_code"; CodeUnsupported, field
// "code_type"; those of Fetcher and PackageStore.
func (s *Functions) takeIn(ctx context.Context, c Code) (faas.Package, error) {
	if c.Kind == "" {
		c.Kind = c.guessKind()
	}
	if err := c.check(); err != nil {
		return faas.Package{}, err
	}
	data := c.Data
	if c.Kind == faas.KindOBS {
		var err error
		if data = c.Pulled; data == nil {
			data, err = s.cfg.Fetcher.Fetch(ctx, c.URL, faas.MaxPulledBytes)
		}
		if err != nil {
			return faas.Package{}, err
		}
		if !isZip(data) {
			return faas.Package{}, faas.Errorf(faas.CodeInvalid, "code_url", "what code_url holds is not a zip or jar")
		}
	}
	pkg, err := s.cfg.Packages.Add(ctx, data)
	if err != nil {
		return faas.Package{}, err
	}
	pkg.Kind, pkg.Filename, pkg.URL = c.Kind, c.Filename, c.URL
	return pkg, nil
}

func (c *Code) guessKind() string {
	switch {
	case c.URL != "":
		return faas.KindOBS
	case isZip(c.Data):
		return faas.KindZip
	}
	return faas.KindInline
}

// check holds code to the rules that need no look inside. Inline source has the limit of every package sent through the
// API: the 10 KB of the vendor's editor are a limit of its page.
func (c *Code) check() error {
	switch c.Kind {
	case faas.KindInline, faas.KindZip, faas.KindJar:
	case faas.KindOBS:
		if c.URL == "" {
			return faas.Errorf(faas.CodeInvalid, "code_url", "code_url must be given when code_type is obs")
		}
		if len(c.Data) > 0 {
			return faas.Errorf(faas.CodeInvalid, "func_code", "func_code.file must be empty when code_type is obs")
		}
		return checkFilename(c.Filename)
	case faas.KindImage:
		return faas.Errorf(faas.CodeInvalid, "code_type", "code_type %s is for the runtime %s only", faas.KindImage, faas.RuntimeImage)
	default:
		return faas.Errorf(faas.CodeInvalid, "code_type", "code_type %.40q must be inline, zip, jar or obs", c.Kind)
	}
	switch {
	case c.URL != "":
		return faas.Errorf(faas.CodeInvalid, "code_url", "code_url must be empty when code_type is %s", c.Kind)
	case len(c.Data) == 0:
		return faas.Errorf(faas.CodeInvalid, "func_code.missing", "func_code.file must hold the function's code when code_type is %s", c.Kind)
	case len(c.Data) > faas.MaxPackageBytes:
		return faas.Errorf(faas.CodeTooLarge, "func_code", "the package has %d bytes, over the limit of %d", len(c.Data), faas.MaxPackageBytes)
	case c.Kind != faas.KindInline && !isZip(c.Data):
		return faas.Errorf(faas.CodeInvalid, "func_code", "func_code.file is not a %s archive", c.Kind)
	case !isZip(c.Data) && strings.HasSuffix(strings.ToLower(c.Filename), ".zip"):
		return faas.Errorf(faas.CodeInvalid, "code_filename", "code_filename ends with .zip, but func_code.file is not a zip archive")
	}
	return checkFilename(c.Filename)
}

// checkFilename keeps a file name inside the folder it will lie in.
func checkFilename(name string) error {
	if name == "" {
		return nil
	}
	bad := !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxFilename || path.IsAbs(name) || path.Clean(name) != name ||
		name == "." || name == ".." || strings.HasPrefix(name, "../") ||
		strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '\\' })
	if bad {
		return faas.Errorf(faas.CodeInvalid, "code_filename", "code_filename %.150q must be a relative path of at most %d characters", name, maxFilename)
	}
	return nil
}

// setCode gives f a package, and the package a file name where the caller chose none.
func (s *Functions) setCode(f *faas.Function, pkg faas.Package, at time.Time) error {
	if pkg.Filename == "" || pkg.Source {
		name, err := s.defaultFilename(f, pkg) // which refuses source that the runtime cannot run
		if err != nil {
			return err
		}
		pkg.Filename = cmp.Or(pkg.Filename, name)
	}
	pkg.Layers = f.Code.Layers
	f.Code = pkg
	f.ImageLabel = imageLabel(f.Version, at)
	return nil
}

func (s *Functions) defaultFilename(f *faas.Function, pkg faas.Package) (string, error) {
	switch {
	case pkg.Kind == faas.KindImage:
		return "", nil
	case pkg.Source:
		return s.cfg.Runtimes.SourceFile(f.Spec.Runtime, f.Spec.Handler)
	case pkg.Kind == faas.KindOBS:
		if u, err := url.Parse(pkg.URL); err == nil {
			if base := path.Base(u.Path); base != "." && base != "/" && checkFilename(base) == nil {
				return base, nil
			}
		}
		return f.Name + ".zip", nil
	case pkg.Kind == faas.KindInline:
		return "index.zip", nil
	}
	return f.Name + "." + pkg.Kind, nil
}

// isZip tells a zip or jar by its first bytes, those of an empty archive included.
func isZip(data []byte) bool {
	return bytes.HasPrefix(data, []byte("PK\x03\x04")) || bytes.HasPrefix(data, []byte("PK\x05\x06"))
}
