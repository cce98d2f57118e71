package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// document is the part of a function version that no query looks into, as it stands in the column "doc". Its tags are
// the format on disk: a field may be added, but a tag is never changed or given another meaning, whatever happens to the
// names in faas. Fields that are empty are left out.
type document struct {
	Description string `json:"description,omitempty"`
	Runtime     string `json:"runtime,omitempty"`
	Handler     string `json:"handler,omitempty"`
	Contract    string `json:"contract,omitempty"`
	Config      string `json:"config,omitempty"`
	TimeoutMS   int64  `json:"timeout_ms,omitempty"`
	MemoryMB    int    `json:"memory_mb,omitempty"`
	TmpMB       int    `json:"tmp_mb,omitempty"`

	InitHandler   string `json:"init_handler,omitempty"`
	InitTimeoutMS int64  `json:"init_timeout_ms,omitempty"`
	StopHandler   string `json:"stop_handler,omitempty"`
	StopTimeoutMS int64  `json:"stop_timeout_ms,omitempty"`
	BeatHandler   string `json:"beat_handler,omitempty"`

	UserData   string   `json:"user_data,omitempty"`
	SealedData []byte   `json:"sealed_data,omitempty"` // base64
	SealedKeys []string `json:"sealed_keys,omitempty"`

	MaxInstances  int               `json:"max_instances"` // 0 has a meaning
	RequestsPer   int               `json:"requests_per,omitempty"`
	Reserved      int               `json:"reserved,omitempty"`
	ReservedIdle  bool              `json:"reserved_idle,omitempty"`
	Tactics       *tacticsDocument  `json:"tactics,omitempty"`
	Snapshot      bool              `json:"snapshot,omitempty"`
	AliasReserve  *reserveDocument  `json:"alias_reserve,omitempty"`
	DynamicMemory bool              `json:"dynamic_memory,omitempty"`
	Generation    string            `json:"generation,omitempty"`
	Role          string            `json:"role,omitempty"`
	AppRole       string            `json:"app_role,omitempty"`
	AuthInHeader  bool              `json:"auth_in_header,omitempty"`
	EnterpriseID  string            `json:"enterprise_id,omitempty"`
	Egress        string            `json:"egress,omitempty"`
	Isolation     string            `json:"isolation,omitempty"`
	NoPublic      bool              `json:"no_public_network,omitempty"`
	Dependencies  []string          `json:"dependencies,omitempty"`
	Carried       map[string]string `json:"carried,omitempty"`

	Image *imageDocument `json:"image,omitempty"`

	CodeKind     string `json:"code_kind,omitempty"`
	CodeFilename string `json:"code_filename,omitempty"`
	CodeURL      string `json:"code_url,omitempty"`
	CodeSource   bool   `json:"code_source,omitempty"`

	CodeLayers []string `json:"code_layers,omitempty"`

	ImageLabel         string `json:"image_label,omitempty"`
	VersionDescription string `json:"version_description,omitempty"`
	Pinned             bool   `json:"pinned,omitempty"`
	Title              string `json:"title,omitempty"`
	CreatedBy          string `json:"created_by,omitempty"`
	ModifiedBy         string `json:"modified_by,omitempty"`
}

// reserveDocument is a faas.AliasReserve.
type reserveDocument struct {
	Alias string `json:"alias"`
	Count int    `json:"count"`
	Idle  bool   `json:"idle,omitempty"`

	Tactics *tacticsDocument `json:"tactics,omitempty"`
}

// imageDocument is a faas.Image.
type imageDocument struct {
	Ref        string   `json:"ref"`
	Command    []string `json:"command,omitempty"`
	Args       []string `json:"args,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
	UID        int      `json:"uid,omitempty"`
	GID        int      `json:"gid,omitempty"`
}

// encode gives the document of a function version.
func encode(f *faas.Function) (string, error) {
	s := &f.Spec
	text, err := json.Marshal(document{
		Description: s.Description, Runtime: s.Runtime, Handler: s.Handler, Contract: s.Contract, Config: s.Config,
		TimeoutMS: s.Timeout.Milliseconds(), MemoryMB: s.MemoryMB, TmpMB: s.TmpMB,
		InitHandler: s.InitHandler, InitTimeoutMS: s.InitTimeout.Milliseconds(),
		StopHandler: s.StopHandler, StopTimeoutMS: s.StopTimeout.Milliseconds(), BeatHandler: s.BeatHandler,
		UserData: s.UserData, SealedData: s.SealedData, SealedKeys: s.SealedKeys,
		MaxInstances: s.MaxInstances, RequestsPer: s.RequestsPer, DynamicMemory: s.DynamicMemory,
		Reserved: s.Reserved, ReservedIdle: s.ReservedIdle, Tactics: tacticsToDocument(s.Tactics), Snapshot: s.Snapshot,
		AliasReserve: reserveToDocument(s.AliasReserve),
		Generation:   s.Generation, Role: s.Role, AppRole: s.AppRole, AuthInHeader: s.AuthInHeader, EnterpriseID: s.EnterpriseID,
		Egress: s.Egress, Isolation: s.Isolation, NoPublic: s.NoPublicNetwork,
		Dependencies: s.Dependencies, Carried: s.Carried, Image: (*imageDocument)(s.Image),
		CodeKind: f.Code.Kind, CodeFilename: f.Code.Filename, CodeURL: f.Code.URL, CodeSource: f.Code.Source,
		CodeLayers: f.Code.Layers,
		ImageLabel: f.ImageLabel, VersionDescription: f.VersionDescription, Pinned: f.Pinned,
		Title: f.Title, CreatedBy: f.CreatedBy, ModifiedBy: f.ModifiedBy,
	})
	if err != nil {
		return "", fmt.Errorf("encode function document: %w", err)
	}
	return string(text), nil
}

// decode lays a document into f. Digest and size of the code have columns of their own and are left as they are.
func decode(text string, f *faas.Function) error {
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return fmt.Errorf("decode function document: %w", err)
	}
	f.Spec = faas.Spec{
		Description: d.Description, Runtime: d.Runtime, Handler: d.Handler, Contract: d.Contract, Config: d.Config,
		Timeout: time.Duration(d.TimeoutMS) * time.Millisecond, MemoryMB: d.MemoryMB, TmpMB: d.TmpMB,
		InitHandler: d.InitHandler, InitTimeout: time.Duration(d.InitTimeoutMS) * time.Millisecond,
		StopHandler: d.StopHandler, StopTimeout: time.Duration(d.StopTimeoutMS) * time.Millisecond, BeatHandler: d.BeatHandler,
		UserData: d.UserData, SealedData: d.SealedData, SealedKeys: d.SealedKeys,
		MaxInstances: d.MaxInstances, RequestsPer: d.RequestsPer, DynamicMemory: d.DynamicMemory,
		Reserved: d.Reserved, ReservedIdle: d.ReservedIdle, Tactics: d.Tactics.tactics(), Snapshot: d.Snapshot,
		AliasReserve: d.AliasReserve.reserve(),
		Generation:   d.Generation, Role: d.Role, AppRole: d.AppRole, AuthInHeader: d.AuthInHeader, EnterpriseID: d.EnterpriseID,
		Egress: d.Egress, Isolation: d.Isolation, NoPublicNetwork: d.NoPublic,
		Dependencies: d.Dependencies, Carried: d.Carried, Image: (*faas.Image)(d.Image),
	}
	f.Code.Kind, f.Code.Filename, f.Code.URL, f.Code.Source = d.CodeKind, d.CodeFilename, d.CodeURL, d.CodeSource
	f.Code.Layers = d.CodeLayers
	f.ImageLabel, f.VersionDescription, f.Pinned = d.ImageLabel, d.VersionDescription, d.Pinned
	f.Title, f.CreatedBy, f.ModifiedBy = d.Title, d.CreatedBy, d.ModifiedBy
	return nil
}
