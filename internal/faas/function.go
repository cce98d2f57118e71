package faas

import "time"

// Function is one version of a function: who it is, what its owner set, and the code it runs.
// The version named Latest changes; all others are immutable.
type Function struct {
	ID       string // UUID, the same for all versions and for life
	Project  string
	Package  string
	Name     string
	Version  string // Latest or a published name
	Revision int64  // grows by one with every change of this version; starts at 1
	Number   int64  // of this version among all that were ever made in the project; set by the store

	// Title is what people call the function where that is no name that a URN can carry, or another one by now; "" where it
	// is Name. It is unique within the package.
	Title      string
	CreatedBy  string // name of a user; "" where nobody noted it
	ModifiedBy string

	Spec Spec
	Code Package

	ImageLabel         string // internal label of this version, e.g. "latest-200603162219@zr2ym"
	VersionDescription string
	Pinned             bool // starred in the console
	CreatedAt          time.Time
	ModifiedAt         time.Time
}

// Spec is what the owner of a function sets, apart from its code.
type Spec struct {
	Description string
	Runtime     string // as the owner wrote it, e.g. "Python3.9"
	Handler     string
	Contract    string        // how the handler is called: ContractContext, ContractCallback or ContractEdge
	Timeout     time.Duration // whole seconds
	MemoryMB    int
	TmpMB       int // size of /tmp; 512 or 10240

	InitHandler string        // "" for none
	InitTimeout time.Duration // whole seconds; set when InitHandler is

	StopHandler string        // called before an idle instance ends; "" for none
	StopTimeout time.Duration // whole seconds; set when StopHandler is
	BeatHandler string        // asked now and then whether an instance is well; "" for none

	UserData   string // JSON object as text, as the owner wrote it; "" for none
	SealedData []byte // encrypted user data, sealed with the server's key; nil for none
	// SealedKeys are the names inside SealedData, which may be shown; the values may not.
	SealedKeys []string

	MaxInstances  int      // Unlimited, 0 (switched off) or the highest number of instances
	RequestsPer   int      // requests at a time in one instance, where its language can
	Reserved      int      // instances kept loaded, whether calls come or not
	ReservedIdle  bool     // reserved instances may be frozen between calls
	Tactics       *Tactics // policies that change the number of reserved instances; nil for none
	AliasReserve  *AliasReserve
	Snapshot      bool // an instance that has loaded and initialised waits for the first call, frozen where the host can
	DynamicMemory bool
	Generation    string // "v1" or "v2"
	Role          string // agency of the function; "" for none
	AppRole       string // agency that it acts as while it runs; "" for Role
	AuthInHeader  bool   // one that serves HTTP finds its agency's credentials in each request
	EnterpriseID  string
	Egress        string // what it may reach over the network, see ParseEgress; "" for what the project has
	Isolation     string // IsolationNative, ...; "" for what the project has
	// NoPublicNetwork shuts a function in, whatever Egress says (FunctionGraph reference 1.1, network_controller).
	NoPublicNetwork bool
	Dependencies    []string // ids of dependency versions, in order
	Image           *Image   // of RuntimeImage, and nil of every other
	Config          string   // JSON object that the function reads as its configuration where its Contract has one; "" for {}
	// Carried holds fields of a dialect that have no effect on this platform: name -> JSON text. They are stored and
	// given back as they came; docs/COMPATIBILITY.md lists them.
	Carried map[string]string
}

// Agency is the name of the agency that the function acts as; "" for none.
func (s *Spec) Agency() string {
	if s.AppRole != "" {
		return s.AppRole
	}
	return s.Role
}

// The ways of calling a handler.
const (
	// ContractContext is handler(event, context); what the function returns is the result.
	ContractContext = ""
	// ContractCallback is main(event, callback): event is an envelope with the caller's data in it, and the answer goes out
	// once nothing is left to do (minapp reference 4).
	ContractCallback = "callback"
	// ContractEdge is handler(event, context) of functions for gateways: both are plain dicts, and context["sdk"] leads to the
	// gateway, or, where the function runs on a server, says that there is none (edge reference 1.4).
	ContractEdge = "edge"
)

// DisplayName is the Title, or the Name of a function without one.
func (f *Function) DisplayName() string {
	if f.Title != "" {
		return f.Title
	}
	return f.Name
}

// Unlimited is the MaxInstances of a function without a limit of its own.
const Unlimited = -1

// Package is the code of a function version, as its owner gave it.
type Package struct {
	Kind     string // KindInline, KindZip, KindJar, KindOBS or KindImage
	Filename string // as given, or made from the handler for inline source
	URL      string // where KindOBS code came from; "" otherwise
	Digest   string // SHA-512 of the package, 128 hex digits; its name in the blob store. See KindImage for those
	Size     int64  // bytes
	// Source is true when the package is one bare source file, to be laid down under Filename, and false when it is a
	// zip or jar to be unpacked.
	Source bool
	// Layers are the digests of packages whose files are laid over those of this one, each over the ones before it: the
	// dependencies in Spec.Dependencies, in their order.
	Layers []string
}

// The ways code can come.
const (
	KindInline = "inline"
	KindZip    = "zip"
	KindJar    = "jar"
	KindOBS    = "obs"
)

// URN gives the function's URN with its version, in a region.
func (f *Function) URN(region string) URN {
	return URN{Region: region, Project: f.Project, Package: f.Package, Name: f.Name, Version: f.Version}
}

// CPUMillis is the processor share of a memory size: memory/128*100+200 millicores (seed "create function", field cpu).
func CPUMillis(memoryMB int) int { return memoryMB*100/128 + 200 }

// FunctionKey names one version of a function inside the platform.
type FunctionKey struct{ Project, Package, Name, Version string }

// Key gives the key of this version.
func (f *Function) Key() FunctionKey {
	return FunctionKey{Project: f.Project, Package: f.Package, Name: f.Name, Version: f.Version}
}

// FunctionFilter chooses functions of a project for a listing of their Latest versions, oldest first.
type FunctionFilter struct {
	Project  string
	Package  string // "" for all
	NamePart string // anywhere in the name, letter case ignored; "" for all
	After    int64  // FunctionPage.Next of the page before; 0 for the first page
	Skip     int64  // so many of the oldest behind After are left out
	Limit    int    // at most so many; at least 1
}

// FunctionPage is a page of a listing.
type FunctionPage struct {
	Functions []*Function
	Total     int64 // all that match, whatever the page
	Next      int64 // After of the next page; 0 when this is the last
}

// Usage is what a project has used of its quotas.
type Usage struct {
	Functions int64
	CodeBytes int64 // packages of all versions
}

// Quota limits a project.
type Quota struct {
	Functions int64
	CodeBytes int64
}

// DefaultQuota is that of FunctionGraph: 400 functions, 10 GB of code.
var DefaultQuota = Quota{Functions: 400, CodeBytes: 10 << 30}
