package faas

import "slices"

// Action is what someone wants to do. Every route of every face names one.
type Action string

// The actions there are.
const (
	ActionRead       Action = "read"       // see what a project holds
	ActionWrite      Action = "write"      // change what a project holds
	ActionInvoke     Action = "invoke"     // have a function called, or a call called off
	ActionAdminister Action = "administer" // change who may do what, and read the audit log
	ActionSelf       Action = "self"       // about oneself: everyone who has proved an identity may
)

// Role is a set of actions that is given to someone, in one project or in all of a domain.
type Role string

// The roles there are.
const (
	RoleAdmin     Role = "admin"
	RoleDeveloper Role = "developer"
	RoleInvoker   Role = "invoker"
	RoleViewer    Role = "viewer"
)

// Roles lists every role, the mightiest first.
var Roles = []Role{RoleAdmin, RoleDeveloper, RoleInvoker, RoleViewer}

// CheckRole refuses a role that does not exist. Error: CodeInvalid, field "role".
func CheckRole(r Role) error {
	if !slices.Contains(Roles, r) {
		return Errorf(CodeInvalid, "role", "%.40q is no role; take admin, developer, invoker or viewer", string(r))
	}
	return nil
}

// Allows tells whether a role holds an action. No role holds nothing but ActionSelf.
func (r Role) Allows(a Action) bool {
	switch r {
	case RoleAdmin:
		return true
	case RoleDeveloper:
		return a != ActionAdminister
	case RoleInvoker:
		return a == ActionInvoke || a == ActionSelf
	case RoleViewer:
		return a == ActionRead || a == ActionSelf
	}
	return a == ActionSelf
}

// Binding gives a role to a user or an agency.
type Binding struct {
	HolderID  string // id of a user or an agency
	ProjectID string // "" for all projects of the holder's domain, and the domain itself
	Role      Role
}
