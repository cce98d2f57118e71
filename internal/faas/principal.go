package faas

// Principal is who makes a request, and in which scope, once auth has proved it.
type Principal struct {
	UserID    string
	UserName  string
	DomainID  string
	Domain    string
	ProjectID string // scope; "" for a domain-wide identity, which may enter any project of its domain
	Project   string
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
	PasswordHash string // argon2id in PHC form
}

// AccessKey signs requests of a user.
type AccessKey struct {
	ID           string // the AK, 20 characters
	UserID       string
	SealedSecret []byte // the SK, sealed with the server's key
}
