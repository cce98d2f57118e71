package faas

import "time"

// Principal is who makes a request, and in which scope, once auth has proved it.
type Principal struct {
	UserID    string // of a user, or of the agency that is acted as
	UserName  string
	DomainID  string
	Domain    string
	ProjectID string // scope; "" for a domain-wide identity, which may enter any project of its domain
	Project   string
	Agency    bool   // an agency acts, and no person
	For       string // the function that was given the agency's credentials, as package/name
	AtMost    Role   // bounds what bindings give, for clients and agencies; "" for no bound
}

// Domain is an account: the owner of projects and users.
type Domain struct {
	ID   string // 32 hex digits
	Name string
}

// Project is where functions live. Its name is usually a region's.
type Project struct {
	ID       string // 32 hex digits
	DomainID string
	Name     string
}

// User can log in with a password and owns access keys.
type User struct {
	ID           string // 32 hex digits
	DomainID     string
	Name         string
	PasswordHash string // argon2id in PHC form; "" for one who cannot log in with a password
	Disabled     bool   // proves no identity any more
}

// AccessKey signs requests of a user.
type AccessKey struct {
	ID           string // the AK, 20 characters
	UserID       string
	SealedSecret []byte // the SK, sealed with the server's key
	Description  string
	Disabled     bool
	CreatedAt    time.Time
	ExpiresAt    time.Time // zero for never
}

// MaxAccessKeys is how many keys a user has at a time: one to work with and one to change to.
const MaxAccessKeys = 2
