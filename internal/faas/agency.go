package faas

import (
	"regexp"
	"time"
)

// Agency is an identity that functions act as. It has no password and no lasting keys: what acts as one is given temporary
// credentials, which its bindings limit.
type Agency struct {
	ID          string // 32 hex digits
	DomainID    string
	Name        string
	Description string
	CreatedAt   time.Time
}

// Credentials are temporary: an access key, which signs requests that also carry the security token, and a token for
// X-Auth-Token. The zero value is none.
type Credentials struct {
	AccessKey, SecretKey, SecurityToken string
	AuthToken                           string
	RenewAt                             time.Time // when to ask for others; set for none as well
	ExpiresAt                           time.Time
}

// MaxAgencyRole is the most that an agency may be given: whoever may change a function's code may act as its agency, and
// must gain nothing by it.
const MaxAgencyRole = RoleDeveloper

var identityName = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9_. -]{0,62}[A-Za-z0-9_.-])?$`)

// CheckIdentityName holds the name of a project, user or agency to 1 to 64 letters, digits, '_', '-', '.' and blanks inside.
// Error: CodeInvalid, field kind.
func CheckIdentityName(kind, name string) error {
	if !identityName.MatchString(name) {
		return Errorf(CodeInvalid, kind, "the name of a %s has 1 to 64 letters, digits, '_', '-', '.' or blanks, and begins with a letter, digit or '_'", kind)
	}
	return nil
}
