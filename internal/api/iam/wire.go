package iam

import (
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// timeForm is that of IAM: 2020-01-04T09:05:22.701000Z.
const timeForm = "2006-01-02T15:04:05.000000Z"

// named is a thing by id, by name, or both.
type named struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// tokenRequest is the body of POST /v3/auth/tokens (FunctionGraph reference, section 7.1).
type tokenRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					named
					Password string `json:"password"`
					Domain   named  `json:"domain"`
				} `json:"user"`
			} `json:"password"`
			Token      named      `json:"token"`
			AssumeRole assumeRole `json:"assume_role"`
		} `json:"identity"`
		Scope struct {
			Project *struct {
				named
				Domain named `json:"domain"`
			} `json:"project"`
			Domain *named `json:"domain"`
		} `json:"scope"`
	} `json:"auth"`
}

// proof gives what the request logs in with. The token may also stand in X-Auth-Token. Errors: CodeInvalid;
// CodeUnsupported, field "methods", for ways of IAM that this server does not have.
func (req *tokenRequest) proof(tokenHeader string) (auth.Proof, error) {
	id := req.Auth.Identity
	for _, method := range id.Methods {
		if method != "password" && method != "token" {
			return auth.Proof{}, faas.Errorf(faas.CodeUnsupported, "methods", "method %.40q is not supported by this server; use password, token or assume_role", method)
		}
	}
	switch {
	case slices.Equal(id.Methods, []string{"password"}):
		u := id.Password.User
		if u.Password == "" || u.ID == "" && (u.Name == "" || u.Domain == named{}) {
			return auth.Proof{}, faas.Errorf(faas.CodeInvalid, "password", "auth.identity.password.user needs a password, and an id or a name with a domain")
		}
		return auth.Proof{UserID: u.ID, UserName: u.Name, DomainID: u.Domain.ID, DomainName: u.Domain.Name, Password: u.Password}, nil
	case slices.Equal(id.Methods, []string{"token"}):
		if id.Token.ID == "" {
			id.Token.ID = tokenHeader
		}
		if id.Token.ID == "" {
			return auth.Proof{}, faas.Errorf(faas.CodeInvalid, "token", "auth.identity.token.id is missing")
		}
		return auth.Proof{Token: id.Token.ID}, nil
	}
	return auth.Proof{}, faas.Errorf(faas.CodeInvalid, "methods", "auth.identity.methods must name one method, password or token")
}

// scope gives the scope asked for. Error: CodeInvalid when it is named and empty, or twofold.
func (req *tokenRequest) scope() (auth.Scope, error) {
	s := req.Auth.Scope
	switch {
	case s.Project == nil && s.Domain == nil:
		return auth.Scope{}, nil
	case s.Project != nil && s.Domain != nil:
		return auth.Scope{}, faas.Errorf(faas.CodeInvalid, "scope", "auth.scope must be a project or a domain, not both")
	case s.Project != nil && s.Project.named != named{}:
		return auth.Scope{ProjectID: s.Project.ID, ProjectName: s.Project.Name, DomainID: s.Project.Domain.ID, DomainName: s.Project.Domain.Name}, nil
	case s.Domain != nil && *s.Domain != named{}:
		return auth.Scope{DomainID: s.Domain.ID, DomainName: s.Domain.Name}, nil
	}
	return auth.Scope{}, faas.Errorf(faas.CodeInvalid, "scope", "auth.scope needs an id or a name")
}

type tokenAnswer struct {
	Token tokenBody `json:"token"`
}

type tokenBody struct {
	Methods   []string     `json:"methods"`
	AssumedBy *assumedBy   `json:"assumed_by,omitempty"`
	ExpiresAt string       `json:"expires_at"`
	IssuedAt  string       `json:"issued_at"`
	User      tokenUser    `json:"user"`
	Project   *tokenOwned  `json:"project,omitempty"`
	Domain    *named       `json:"domain,omitempty"`
	Roles     []named      `json:"roles"`
	Catalog   []catalogued `json:"catalog"`
}

type tokenOwned struct {
	named
	Domain named `json:"domain"`
}

type tokenUser struct {
	tokenOwned
	PasswordExpiresAt string `json:"password_expires_at"` // "" for never
}

// assumedBy is who acts as an agency.
type assumedBy struct {
	User tokenUser `json:"user"`
}

type catalogued struct {
	Endpoints []endpoint `json:"endpoints"`
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Type      string     `json:"type"`
}

type endpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

// tokenAnswerOf gives the answer without a catalog, with those of the holder's roles that hold in the token's scope. The one who may do
// everything has IAM's role te_admin.
func tokenAnswerOf(t auth.Token, roles []faas.Binding) tokenAnswer {
	domain := named{ID: t.Domain.ID, Name: t.Domain.Name}
	body := tokenBody{
		Methods: t.Methods, IssuedAt: wireTime(t.IssuedAt), ExpiresAt: wireTime(t.ExpiresAt),
		User:  tokenUser{tokenOwned: tokenOwned{named{ID: t.User.ID, Name: t.User.Name}, domain}},
		Roles: []named{}, Catalog: []catalogued{},
	}
	for _, b := range roles {
		switch {
		case b.ProjectID == "" && b.Role == faas.RoleAdmin:
			body.Roles = append(body.Roles, named{ID: "0", Name: "te_admin"})
		case b.ProjectID == "" || b.ProjectID == t.Project.ID:
			body.Roles = append(body.Roles, named{ID: string(b.Role), Name: string(b.Role)})
		}
	}
	if t.Agency.ID != "" {
		body.AssumedBy = &assumedBy{body.User}
		body.User = tokenUser{tokenOwned: tokenOwned{named{ID: t.Agency.ID, Name: t.Domain.Name + "/" + t.Agency.Name}, domain}}
	}
	if t.Project.ID != "" {
		body.Project = &tokenOwned{named{ID: t.Project.ID, Name: t.Project.Name}, domain}
	} else {
		body.Domain = &domain
	}
	return tokenAnswer{body}
}

func wireTime(t time.Time) string { return t.UTC().Format(timeForm) }

// catalog lists the services of this server under the address the client used.
func catalog(base, region, projectID string) []catalogued {
	functions := base + "/v2"
	if projectID != "" {
		functions += "/" + projectID
	}
	entry := func(name, kind, region, url string) catalogued {
		return catalogued{ID: name, Name: name, Type: kind, Endpoints: []endpoint{
			{ID: name + "-public", Interface: "public", Region: region, RegionID: region, URL: url}}}
	}
	return []catalogued{entry("functiongraph", "functiongraph", region, functions), entry("iam", "identity", "*", base+"/v3")}
}

type links struct {
	Self     string  `json:"self"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
}

type projectsAnswer struct {
	Projects []projectItem `json:"projects"`
	Links    links         `json:"links"`
}

type projectItem struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	DomainID    string `json:"domain_id"`
	ParentID    string `json:"parent_id"`
	IsDomain    bool   `json:"is_domain"`
	Enabled     bool   `json:"enabled"`
	Description string `json:"description"`
	Links       links  `json:"links"`
}

type domainsAnswer struct {
	Domains []domainItem `json:"domains"`
	Links   links        `json:"links"`
}

type domainItem struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Enabled     bool   `json:"enabled"`
	Description string `json:"description"`
	Links       links  `json:"links"`
}

type usersAnswer struct {
	Users []userItem `json:"users"`
	Links links      `json:"links"`
}

type userItem struct {
	ID                string  `json:"id"`
	Name              string  `json:"name"`
	DomainID          string  `json:"domain_id"`
	Enabled           bool    `json:"enabled"`
	PasswordStatus    bool    `json:"pwd_status"`
	PasswordExpiresAt *string `json:"password_expires_at"`
	Description       string  `json:"description"`
	Links             links   `json:"links"`
}
