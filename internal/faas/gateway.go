package faas

import "time"

// Product is a kind of gateway. What is bound to it reaches every gateway of it, also those that are made later.
type Product struct {
	SN           string // serial number, unique on the server: devices name it when they log in
	Project      string
	Number       int64 // among all products of the server; set by the store
	Name         string
	Description  string
	SealedSecret []byte // with which a gateway may ask for a secret of its own
	Dynamic      bool   // whether one may
	PreRegister  bool   // whether only one that was made before may
	CreatedAt    time.Time
}

// GatewayID names a gateway by the serial numbers of its product and its own.
type GatewayID struct{ Product, SN string }

// Gateway is a machine that runs functions where it stands, and what is known of it.
type Gateway struct {
	GatewayID
	Project      string
	Number       int64 // among all gateways of the server; set by the store
	Description  string
	SealedSecret []byte
	Disabled     bool // it may not log in
	CreatedAt    time.Time
	ActivatedAt  time.Time // when it first logged in; zero before

	Online      bool
	ConnectedAt time.Time // zero before
	LeftAt      time.Time // zero before

	Version  uint64 // of the desired document; 0 before the first
	Hash     string // of what it asks for
	IssuedAt time.Time

	Report     *GatewayReport // the last; nil before the first
	ReportedAt time.Time
}

// GatewayReport is what a gateway says of itself.
type GatewayReport struct {
	Boot         string // made anew whenever its agent starts
	Version      uint64 // of the desired document that it accepted last
	Good         uint64 // of the one that proved itself last
	State        string // GatewayApplied, ...
	Message      string
	AgentVersion string
	// AgentReverted is the version that was wanted, tried and given up; "" for none.
	AgentReverted string
	OS, Arch      string
	StartedAt     time.Time
	Functions     []GatewayFunction
	Routes        []GatewayRoute
	Refused       []GatewayRefusal
	CmdSeq        uint64 // of the last command that was carried out
	RSS           int64  // bytes, of the agent; 0 for unknown, as the next two
	MemFree       int64
	DiskFree      int64
}

// The states of a desired document on a gateway.
const (
	GatewayApplied    = "applied"
	GatewayPending    = "pending"
	GatewayFailed     = "failed"
	GatewayRolledBack = "rolled_back"
)

// GatewayFunction is a function as it is on a gateway.
type GatewayFunction struct {
	Name     string
	Hash     string
	State    string // GatewayFunctionRunning, ...
	Message  string
	Calls    int64
	Errors   int64
	Restarts int64
	LastRun  time.Time // zero for never
	NextCron time.Time // zero for never
}

// GatewayFunctionRunning is the state of a function that can be called.
const GatewayFunctionRunning = "running"

// GatewayRoute counts what went through a message route.
type GatewayRoute struct {
	ID                    int64
	Hits, Dropped, Queued int64
}

// GatewayRefusal is a desired document that a gateway did not accept.
type GatewayRefusal struct {
	Version uint64
	Reason  string
	At      time.Time
}

// Function finds a function in a report. It may be called on nil.
func (r *GatewayReport) Function(name string) (GatewayFunction, bool) {
	if r != nil {
		for _, f := range r.Functions {
			if f.Name == name {
				return f, true
			}
		}
	}
	return GatewayFunction{}, false
}

// GatewayFilter chooses gateways of a project for a listing, by number. "" is any.
type GatewayFilter struct {
	Project string
	Product string
	SN      string // exactly
	SNPart  string // anywhere in the serial number
	Offset  int64
	Limit   int // 0 for all
}

// GatewayBinding says that a function shall be on a gateway, or on all of a product.
type GatewayBinding struct {
	Function FunctionKey // Version is ""
	GatewayID
	// SN is "" for a binding to the whole product.
	BoundAt time.Time
	Setting *GatewaySetting // of this very function and gateway or product; nil when none was made
}

// BindingFilter chooses bindings of a project. "" is any.
type BindingFilter struct {
	Project, Package, Name string
	Product, SN            string
}

// GatewaySetting is how a function works on a gateway, or on all of a product that have no setting of their own.
type GatewaySetting struct {
	Cron       string
	CronEnable bool
	Config     string // JSON object; it hides the function's own
}

// MessageRoute carries messages on a gateway (edge reference 1.3).
type MessageRoute struct {
	ID      int64 // set by the store
	Project string
	GatewayID
	Name        string
	Description string
	From        string // RouteLocal, ...
	FromID      string // name of the function or app
	To          string
	ToID        string
	Topic       string // filter with "+" and "#"
	TopicKind   string // "sys", "user" or "local"
	// TopicProduct, TopicDevice and TopicSuffix are the parts that Topic was made from, where it was.
	TopicProduct, TopicDevice, TopicSuffix string

	Cached    bool // kept while the gateway is offline
	Disabled  bool
	CreatedAt time.Time
}

// The places that message routes connect.
const (
	RouteLocal    = "local"
	RouteCloud    = "iotcore"
	RouteFunction = "fc"
	RouteApp      = "app"
)

// Deployment is a wish to see a version of the desired document stand on a gateway.
type Deployment struct {
	ID      int64 // set by the store
	Project string
	GatewayID
	Version   uint64
	CreatedAt time.Time
}

// GatewayCommand is something that a gateway is to do once.
type GatewayCommand struct {
	GatewayID
	Seq       uint64 // set by the store: from 1, in the order of acceptance
	ID        string // UUID
	Kind      string
	Body      []byte // JSON
	CreatedAt time.Time
	ExpiresAt time.Time
	EndedAt   time.Time // zero while open

	OK      bool
	Result  []byte // JSON; nil for none
	Code    Code   // of a failure
	Message string
}

// GatewayMessage came from a gateway by a route that leads to the cloud.
type GatewayMessage struct {
	Seq     uint64
	Route   int64
	Topic   string
	Payload []byte
	At      time.Time // by the gateway's clock
}

// PackageSums are digests of a package beside its own.
type PackageSums struct{ SHA256, MD5 string }

// The bounds of what belongs to gateways (edge reference 1.4 and 4.5).
const (
	MaxGatewayFunctions = 100
	MaxGatewayRoutes    = 200
	MaxGatewayCommands  = 100 // open at a time, of one gateway
	MaxGatewayMessages  = 1000
	MaxGatewayConfig    = 32 << 10 // bytes of a function's configuration
	CommandLife         = 72 * time.Hour
)

// CheckSN holds a serial number to its rule: 1 to 32 letters, digits, "-", "_" and ":". Error: CodeInvalid with the field.
func CheckSN(field, sn string) error {
	ok := sn != "" && len(sn) <= 32
	for i := 0; ok && i < len(sn); i++ {
		c := sn[i]
		ok = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == ':'
	}
	if !ok {
		return Errorf(CodeInvalid, field, "%s %.64q must be 1 to 32 letters, digits, '-', '_' or ':'", field, sn)
	}
	return nil
}

// GatewayMark is that a gateway came, went (neither Online nor Report) or reported.
type GatewayMark struct {
	GatewayID
	At     time.Time
	Online bool
	Report *GatewayReport
}

// Desired is what a gateway shall be, by its hash. Above is a version that the gateway is known to have, which a newer one must be
// over.
type Desired struct {
	GatewayID
	Hash  string
	Above uint64
}

// DesiredVersion is the version that a Desired has got.
type DesiredVersion struct {
	Version  uint64
	IssuedAt time.Time
	Changed  bool
}
