package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// Document says what a gateway shall be: everything that is bound to it or to its product. A newer one replaces the older whole.
type Document struct {
	Version   uint64     `json:"version"` // grows with every change, for life
	Product   string     `json:"product"`
	Gateway   string     `json:"gateway"`
	IssuedAt  int64      `json:"issued_at"` // ms since 1970, of this version
	Functions []Function `json:"functions"` // by name
	Routes    []Route    `json:"routes"`    // in the order in which they are tried
	Health    Health     `json:"health"`
	Agent     *Release   `json:"agent,omitempty"` // the agent that the gateway shall run; nil for the one it has
}

// Function is one function on a gateway. Its Hash names all of it: same hash, nothing to do.
type Function struct {
	ID       int64  `json:"id"`
	Project  string `json:"project"`
	Package  string `json:"package"`
	Name     string `json:"name"`
	Version  string `json:"version"`  // that is bound, e.g. "latest"
	Runtime  string `json:"runtime"`  // e.g. "Python3.9"
	Handler  string `json:"handler"`  // file.function
	Contract string `json:"contract"` // faas.ContractEdge or faas.ContractContext: how the handler is called
	Code     Code   `json:"code"`

	InitHandler string            `json:"init_handler,omitempty"`
	InitTimeout int64             `json:"init_timeout_ms,omitempty"`
	Timeout     int64             `json:"timeout_ms"`
	MemoryMB    int               `json:"memory_mb"`
	RequestsPer int               `json:"requests_per"` // calls at a time in one instance
	Env         map[string]string `json:"env,omitempty"`
	Config      json.RawMessage   `json:"config"` // JSON object that the function reads as sdk.config; opaque

	Cron       string `json:"cron,omitempty"` // 5 fields, or 6 with seconds first; "" for none
	CronEnable bool   `json:"cron_enable,omitempty"`
	TimeZone   string `json:"time_zone,omitempty"` // of Cron, e.g. "Asia/Shanghai"
	// IdleTimeout is after how many ms without a call an instance ends; 0 for the agent's own choice.
	IdleTimeout int64 `json:"idle_timeout_ms,omitempty"`
}

// Code is a package of code. Where it can be had stands beside the signed document, in Envelope.URLs: addresses expire.
type Code struct {
	Digest   string `json:"digest"` // SHA-256 of the package, 64 hex digits
	Size     int64  `json:"size"`   // bytes
	Format   string `json:"format"`
	Filename string `json:"filename,omitempty"` // under which a FormatSource is laid down, e.g. "index.py"
}

// The formats of packages.
const (
	FormatSource = "source" // one bare source file
	FormatZip    = "zip"    // a zip or jar, to be unpacked
)

// Route carries messages from one place to another.
type Route struct {
	ID       int64  `json:"id"`
	From     string `json:"from"`              // PlaceLocal, ...
	FromID   string `json:"from_id,omitempty"` // name of the function or app; "" for any
	Filter   string `json:"filter"`            // of topics, with "+" and "#"
	To       string `json:"to"`
	Function string `json:"function,omitempty"` // of PlaceFunction
	App      string `json:"app,omitempty"`      // of PlaceApp
	Order    int    `json:"order"`
	Cache    *Cache `json:"cache,omitempty"` // of PlaceCloud: kept while offline; nil sends what can be sent and drops the rest
}

// The places that routes connect (UIoT's SrcType and DestType, edge reference 1.3).
const (
	PlaceLocal    = "local" // sub-devices, on the gateway's own bus
	PlaceCloud    = "iotcore"
	PlaceFunction = "fc"
	PlaceApp      = "app"
)

// Cache bounds what a route keeps while the cloud is away; the oldest goes first.
type Cache struct {
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
	Age      int64 `json:"age_ms"`
}

// Health is when a new generation counts as good.
type Health struct {
	Window   int64 `json:"window_ms"`   // that it must stand
	Failures int   `json:"max_crashes"` // of one function within the window, beyond which the generation goes back
}

// Release is a version of the agent for the gateway's processor.
type Release struct {
	Version string            `json:"version"`
	Digests map[string]string `json:"digests"` // SHA-256 in hex by GOARCH; an agent of another stays as it is
}

// Hash is what two functions share only when nothing about them differs: 64 hex digits.
func (f Function) Hash() (string, error) { return digest(f) }

// Hash is the same for two documents that ask for the same, whatever their versions and times.
func (d Document) Hash() (string, error) {
	d.Version, d.IssuedAt = 0, 0
	return digest(d)
}

func digest(v any) (string, error) {
	text, err := Canonical(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Envelope carries a Document with its signature. In a bundle it is the file BundleDocument.
type Envelope struct {
	Payload   []byte `json:"payload"` // the Document as canonical JSON
	KeyID     string `json:"key_id"`
	Signature []byte `json:"signature"` // ed25519 over signing and Payload
	// URLs tell where packages can be had for now, by digest, and are not signed: what they lead to is held to its digest.
	// A release of the agent is among them. None are in a bundle.
	URLs map[string]string `json:"urls,omitempty"`
}

// signing begins what is signed, so that no signature made for another purpose fits.
const signing = "hanshu edge desired v1\n"

// Seal signs a document.
func Seal(d Document, keyID string, key ed25519.PrivateKey) (Envelope, error) {
	payload, err := Canonical(d)
	if err != nil {
		return Envelope{}, err
	}
	return Envelope{Payload: payload, KeyID: keyID, Signature: ed25519.Sign(key, append([]byte(signing), payload...))}, nil
}

// Why a document is refused. Each is told to the cloud in Refusal.Reason.
var (
	ErrSignature = errors.New("the signature of the desired document is by no key of this gateway")
	ErrGateway   = errors.New("the desired document is for another gateway")
	ErrOlder     = errors.New("the desired document is older than the one that was accepted")
	ErrSame      = errors.New("the desired document is the one that was accepted")
)

// Open checks an envelope for the gateway id, which last accepted the version accepted (0 for none), and gives the document.
// keys are by their ids. Errors: ErrSignature, ErrGateway, ErrOlder, and ErrSame, beside which the document is given too: its
// URLs may be new.
func (e Envelope) Open(keys map[string]ed25519.PublicKey, id ID, accepted uint64) (Document, error) {
	key, known := keys[e.KeyID]
	if !known || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(signing), e.Payload...), e.Signature) {
		return Document{}, ErrSignature
	}
	var d Document
	if err := json.Unmarshal(e.Payload, &d); err != nil {
		return Document{}, fmt.Errorf("wire: desired document: %w", err)
	}
	switch {
	case d.Product != id.Product || d.Gateway != id.Gateway:
		return Document{}, ErrGateway
	case d.Version < accepted || d.Version == 0:
		return Document{}, ErrOlder
	case d.Version == accepted:
		return d, ErrSame
	}
	return d, nil
}

// What a bundle for a gateway without a network holds: a tar file with the Envelope first, and then each package under
// BundleCode and its digest.
const (
	BundleDocument = "desired.json"
	BundleCode     = "code/"
)
