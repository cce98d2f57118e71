package faas

import "time"

// AuditEntry tells who did what, or was refused it. It never holds a secret or a body.
type AuditEntry struct {
	ID        string // UUID; later entries of a server have greater ones
	At        time.Time
	DomainID  string // of the actor; "" for one who proved no identity
	ProjectID string // "" where none is concerned
	ActorID   string
	Actor     string // name; "" for one who proved no identity
	For       string // the function that acted, as package/name, with an agency's credentials; "" for a person
	Face      string
	Operation string
	Action    Action
	Resource  string // path of the request, with what the handler adds of a thing that was made
	Source    string // address that the request came from
	RequestID string
	Status    int   // of the answer
	Code      Code  // why it was refused or failed; "" for success
	Skipped   int64 // refusals of strangers that were left out before this entry, see docs/SPECIFICATION.md
}

// AuditFilter chooses entries, the youngest first; with After set, the oldest first.
type AuditFilter struct {
	DomainID  string // entries of this domain, and those of strangers
	ProjectID string // "" for all
	Actor     string // name or id; "" for all
	Operation string // "" for all
	Refused   bool   // only what was refused or failed
	Before    string // id; "" for the youngest
	After     string // id; entries behind it
	Limit     int
}
