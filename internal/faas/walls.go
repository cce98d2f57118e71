package faas

// The levels of isolation that can be chosen. A level is a driver of sandboxes; the runtime WASM is a wall of its own in any of them.
const (
	IsolationNative = "native" // namespaces of the host's kernel
	IsolationOCI    = "oci"    // the OCI runtime that the operator has named, such as gVisor's runsc
)

// CheckIsolation holds a level to its rule. Error: CodeInvalid, field "isolation".
func CheckIsolation(level string) error {
	switch level {
	case "", IsolationNative, IsolationOCI:
		return nil
	}
	return Errorf(CodeInvalid, "isolation", "isolation %.40q must be %s, %s or empty for what the project has", level, IsolationNative, IsolationOCI)
}

// Walls are how a function is kept apart.
type Walls struct {
	Egress    Egress
	Isolation string // "" for the server's level
}

// ProjectWalls are what a project has set, by its operator. "" is what the server has.
type ProjectWalls struct {
	Egress      string // see ParseEgress
	EgressFixed bool   // functions may not choose another
	Isolation   string
	// IsolationFixed has functions stay at Isolation.
	IsolationFixed bool
}

// Check holds the words of the settings to their rules. Errors: CodeInvalid, field "egress" or "isolation".
func (p ProjectWalls) Check() error {
	if err := CheckEgress(p.Egress); err != nil {
		return err
	}
	return CheckIsolation(p.Isolation)
}

// Over gives the settings of a project on a server, whose own settings stand wherever the project has none.
func (p ProjectWalls) Over(server ProjectWalls) ProjectWalls {
	if p.Egress == "" {
		p.Egress, p.EgressFixed = server.Egress, server.EgressFixed
	}
	if p.Isolation == "" {
		p.Isolation, p.IsolationFixed = server.Isolation, server.IsolationFixed
	}
	return p
}

// May refuses what a function chooses where its project is fixed. Error: CodeForbidden, field "egress" or "isolation".
func (p ProjectWalls) May(s *Spec) error {
	if s.Egress != "" && p.EgressFixed && s.Egress != p.Egress {
		return Errorf(CodeForbidden, "egress", "egress of this project is fixed to %.200q by the operator", p.egress())
	}
	if s.Isolation != "" && p.IsolationFixed && s.Isolation != p.Isolation {
		return Errorf(CodeForbidden, "isolation", "isolation of this project is fixed to %q by the operator", p.Isolation)
	}
	return nil
}

// Of gives the walls of a function. What it was once allowed to choose does not outlast the operator's word.
func (p ProjectWalls) Of(s *Spec) (Walls, error) {
	egress, isolation := p.egress(), p.Isolation
	if s.Egress != "" && !p.EgressFixed {
		egress = s.Egress
	}
	if s.NoPublicNetwork {
		egress = EgressNone
	}
	if s.Isolation != "" && !p.IsolationFixed {
		isolation = s.Isolation
	}
	policy, err := ParseEgress(egress)
	return Walls{Egress: policy, Isolation: isolation}, err
}

func (p ProjectWalls) egress() string {
	if p.Egress == "" {
		return EgressNone
	}
	return p.Egress
}
