package faas

import (
	"strings"
	"time"
)

// Limits of versions and aliases (FunctionGraph reference, section 3.3).
const (
	MaxVersions    = 20 // of a function, Latest among them
	MaxAliases     = 10 // of a function
	MaxVersionName = 42 // characters
	MaxAliasName   = 64 // characters
)

// Alias is a name that leads to one version of a function, and with an Additional also to a second one.
type Alias struct {
	Key         FunctionKey // Version is the main one
	Name        string      // without "!"
	Description string
	Additional  *Additional // nil where every call goes to the main version
	CreatedAt   time.Time
	ModifiedAt  time.Time
}

// Additional is the second version of an alias, and which calls go there: a share of them, or those that fit its rules.
type Additional struct {
	Version string
	Weight  int         // percent of the calls; without meaning where there are Rules
	Rules   []AliasRule // nil for a share
	Any     bool        // one rule that fits is enough; else every one has to
}

// AliasRule looks at a request. Its texts stand as their owner wrote them (FunctionGraph reference, section 1.2).
type AliasRule struct {
	Kind  string // "header" or "cookie", in any letter case
	Name  string
	Op    string // "=" for one value, "in" for any of several with commas between them
	Value string
}

// Asked is what came with a call beside its event. A text is "" where nothing came.
type Asked interface {
	HeaderValue(name string) string
	CookieValue(name string) string
}

// Qualifier is the name as it stands in a URN, and in the Version of the key that tells of a changed alias.
func (a *Alias) Qualifier() string { return Qualifier("", a.Name) }

// Rule gives the version that the rules choose for a request; "" where there are no rules.
func (a *Alias) Rule(asked Asked) string {
	switch {
	case a.Additional == nil || a.Additional.Rules == nil:
		return ""
	case asked != nil && a.Additional.fits(asked):
		return a.Additional.Version
	}
	return a.Key.Version
}

// Share gives the version of the nth call where calls are shared out: of any hundred calls in a row exactly Weight go to the
// additional version, and these stand apart evenly.
func (a *Alias) Share(n uint64) string {
	const stride = 61 // shares no factor with 100, and is near its golden section
	if a.Additional != nil && a.Additional.Rules == nil && n%100*stride%100 < uint64(a.Additional.Weight) {
		return a.Additional.Version
	}
	return a.Key.Version
}

func (d *Additional) fits(asked Asked) bool {
	for _, r := range d.Rules {
		if r.fits(asked) == d.Any {
			return d.Any
		}
	}
	return !d.Any
}

func (r *AliasRule) fits(asked Asked) bool {
	got := ""
	if strings.EqualFold(r.Kind, "cookie") {
		got = asked.CookieValue(r.Name)
	} else {
		got = asked.HeaderValue(r.Name)
	}
	if r.Op == "=" || got == "" {
		return got != "" && got == r.Value
	}
	for one := range strings.SplitSeq(r.Value, ",") {
		if strings.TrimSpace(one) == got {
			return true
		}
	}
	return false
}

// CheckVersionName holds the name of a version to be published to its rule: 1 to 42 letters, digits, "-", "_" and ".", a letter
// or digit at both ends, and not Latest. Error: CodeInvalid, field "version".
func CheckVersionName(name string) error {
	if name == Latest || !plainName(name, MaxVersionName, true) {
		return Errorf(CodeInvalid, "version", "version %.80q must be 1 to %d letters, digits, '-', '_' or '.', with a letter or digit at both ends, and not %s", name, MaxVersionName, Latest)
	}
	return nil
}

// CheckAliasName holds the name of an alias to its rule: 1 to 64 letters, digits, "-" and "_", a letter at its beginning and a letter
// or digit at its end. Error: CodeInvalid, field "alias".
func CheckAliasName(name string) error {
	if !plainName(name, MaxAliasName, false) || '0' <= name[0] && name[0] <= '9' {
		return Errorf(CodeInvalid, "alias", "name %.80q must be 1 to %d letters, digits, '-' or '_', start with a letter and end with a letter or digit", name, MaxAliasName)
	}
	return nil
}

// plainName tells of 1 to most letters, digits, "-" and "_", with a letter or digit at both ends; dots only where they are allowed.
func plainName(name string, most int, dots bool) bool {
	const marks = "-_."
	if !nameInURN(name) || len(name) > most || !dots && strings.Contains(name, ".") {
		return false
	}
	return !strings.ContainsRune(marks, rune(name[len(name)-1]))
}

// Check holds an alias to its rules, but for what depends on the versions that there are. Errors: CodeInvalid, field "alias", "version",
// "description", or "additional_version" and what begins with it.
func (a *Alias) Check() error {
	if err := CheckAliasName(a.Name); err != nil {
		return err
	}
	if a.Key.Version == "" {
		return Errorf(CodeInvalid, "version", "version must be given")
	}
	if len([]rune(a.Description)) > MaxDescription {
		return Errorf(CodeInvalid, "description", "description is over %d characters", MaxDescription)
	}
	if a.Additional == nil {
		return nil
	}
	return a.Additional.check(a.Key.Version)
}

const maxAliasRules = 20

func (d *Additional) check(main string) error {
	switch {
	case d.Version == main:
		return Errorf(CodeInvalid, "additional_version.same", "the additional version is the main one, %q", main)
	case d.Version == "" || d.Version == Latest:
		return Errorf(CodeInvalid, "additional_version", "the additional version must be a published one, and not %q", d.Version)
	case d.Rules == nil && (d.Weight < 0 || d.Weight > 100):
		return Errorf(CodeInvalid, "additional_version.weight", "the weight %d must be 0 to 100 percent", d.Weight)
	case len(d.Rules) > maxAliasRules:
		return Errorf(CodeInvalid, "additional_version", "there are over %d rules", maxAliasRules)
	}
	for _, r := range d.Rules {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *AliasRule) check() error {
	const name = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	switch {
	case !strings.EqualFold(r.Kind, "header") && !strings.EqualFold(r.Kind, "cookie"):
		return Errorf(CodeInvalid, "additional_version", "rule_type %.40q must be header or cookie", r.Kind)
	case r.Op != "=" && r.Op != "in":
		return Errorf(CodeInvalid, "additional_version", "op %.40q must be = or in", r.Op)
	case r.Name == "" || len(r.Name) > 128 || strings.Trim(r.Name, name) != "":
		return Errorf(CodeInvalid, "additional_version", "param %.80q must be 1 to 128 letters, digits, '-' or '_'", r.Name)
	case r.Value == "" || len(r.Value) > 1024:
		return Errorf(CodeInvalid, "additional_version", "the value of a rule must have 1 to 1024 bytes")
	}
	return nil
}
