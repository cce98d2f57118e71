// Package control holds the use cases on what exists: functions, their versions and aliases, triggers and dependencies.
// A rule that is not a matter of shape lives here, once, whatever dialect asks.
//
// It must not know HTTP, SQL, processes or any dialect's words.
package control

import (
	"context"
	"io"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// FunctionStore keeps functions. Each method is one whole transaction; what it acknowledges is on disk.
type FunctionStore interface {
	// CreateFunction stores a new function. Errors: CodeExists (field "function"); CodeQuota (field "functions" or
	// "code_bytes") when the project would pass its quota.
	CreateFunction(ctx context.Context, f *faas.Function, quota faas.Quota) error
	// Function gives one version. Error: CodeNotFound, field "function" or, when only the version is missing, "version".
	Function(ctx context.Context, key faas.FunctionKey) (*faas.Function, error)
	// UpdateFunction reads a version, lets change alter it, and stores it with Revision + 1. An error of change leaves it as
	// it was and is returned. Errors: as Function; CodeQuota as CreateFunction.
	UpdateFunction(ctx context.Context, key faas.FunctionKey, quota faas.Quota, change func(*faas.Function) error) (*faas.Function, error)
	// DeleteFunction removes a function with all that belongs to it; key.Version is ignored. Error: CodeNotFound.
	DeleteFunction(ctx context.Context, key faas.FunctionKey) error
	// DeleteVersion removes one version, the aliases that lead to it, whose names it gives, and what hangs on them. Errors: as Function;
	// CodeConflict, field "additional_version".
	DeleteVersion(ctx context.Context, key faas.FunctionKey) (aliases []string, err error)
	// Alias gives an alias of a function; key.Version is ignored. Error: CodeNotFound, field "function" or "alias".
	Alias(ctx context.Context, key faas.FunctionKey, name string) (*faas.Alias, error)
	// NameOfTitle gives the name of the function with a title. Error: CodeNotFound, field "function".
	NameOfTitle(ctx context.Context, project, pkg, title string) (string, error)
	ListFunctions(ctx context.Context, filter faas.FunctionFilter) (faas.FunctionPage, error)
	// ReserveAlias lets change alter what an alias keeps loaded, in the Spec.AliasReserve of its main version, and gives that. Errors: as Alias.
	ReserveAlias(ctx context.Context, key faas.FunctionKey, name string, change func(*faas.Function) error) (*faas.Function, error)
	// Reserved lists the versions with reserved instances, of a project or, for "", of all.
	Reserved(ctx context.Context, project string) ([]*faas.Function, error)
	// Usage counts what a project holds.
	Usage(ctx context.Context, project string) (faas.Usage, error)
}

// PackageStore keeps code packages by their digest.
type PackageStore interface {
	// Add checks a package (zip bounds and all; see blob.Inspect) and stores it durably. The answer's Kind, Filename and URL
	// are left to the caller. Errors: CodeInvalid (field "func_code"), CodeTooLarge.
	Add(ctx context.Context, data []byte) (faas.Package, error)
	// Open reads a package, verified against its digest while it is read: the last Read fails when the bytes are not those
	// that were stored.
	Open(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Fetcher pulls a package from a bucket or URL. Errors: CodeInvalid (field "code_url"), CodeTooLarge, CodeUnavailable.
type Fetcher interface {
	Fetch(ctx context.Context, url string, maxBytes int64) ([]byte, error)
}

// Sealer seals secrets with the server's key, bound to a label so that one cannot stand in for another.
type Sealer interface {
	Seal(label string, plain []byte) []byte
	Open(label string, sealed []byte) ([]byte, error)
}

// Changes hears of functions that changed or went, so that running instances and caches follow.
type Changes interface {
	// FunctionChanged tells of one version; of an alias, where key.Version is its name behind "!"; or, where key.Version is "", of
	// a whole function that has gone. When it returns, the next call on this server sees the change.
	FunctionChanged(key faas.FunctionKey)
}
