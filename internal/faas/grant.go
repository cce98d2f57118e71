package faas

import "time"

// OAuthClient is an application that works in one project as one user.
type OAuthClient struct {
	ID         string // 20 hex digits
	ProjectID  string
	UserID     string
	SecretHash []byte // SHA-256 of the secret, which is random and long
}

// GrantKind is what a Grant is good for.
type GrantKind string

// The kinds of grants.
const (
	GrantCode    GrantKind = "code"    // once, for a pair of tokens
	GrantAccess  GrantKind = "access"  // for requests as the client
	GrantRefresh GrantKind = "refresh" // once, for the next pair
	GrantUser    GrantKind = "user"    // for requests of a person who uses the client
)

// Grant is a secret that was handed out. Only its hash is kept.
type Grant struct {
	Hash      string // SHA-256 in hex digits
	Kind      GrantKind
	ClientID  string
	UserID    string
	Family    string // tokens that follow from each other: they go together
	ExpiresAt time.Time
}
