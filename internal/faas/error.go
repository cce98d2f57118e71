package faas

import (
	"errors"
	"fmt"
)

// Code names an expected failure. Dialects map each code to their own words and status; a test in every dialect loops
// over Codes so that none is forgotten.
type Code string

// The codes of expected failures.
const (
	CodeInvalid         Code = "invalid"          // a parameter breaks its rule; Field names it
	CodeUnauthenticated Code = "unauthenticated"  // no identity, or a wrong one
	CodeForbidden       Code = "forbidden"        // the identity may not do this
	CodeNotFound        Code = "not_found"        // the thing named does not exist; Field names its kind
	CodeExists          Code = "exists"           // the name is taken
	CodeConflict        Code = "conflict"         // it exists, but its state forbids the operation
	CodeQuota           Code = "quota"            // a limit of the project is reached; Field names it
	CodeTooLarge        Code = "too_large"        // a body or package is over its limit
	CodeOverload        Code = "overload"         // queues are full; try again later
	CodeDisabled        Code = "disabled"         // the function is switched off
	CodeUnsupported     Code = "unsupported"      // understood, and not possible here
	CodeLoad            Code = "load"             // the code could not be loaded or has no such handler
	CodeException       Code = "exception"        // the handler threw
	CodeInit            Code = "init"             // the initializer threw
	CodeInitTimeout     Code = "init_timeout"     // the initializer was over its own time
	CodeTimeout         Code = "timeout"          // the run was over its time
	CodeMemory          Code = "memory"           // the instance was killed for its memory
	CodeExit            Code = "exit"             // the process ended, or cut its control channel, in the middle
	CodeResult          Code = "result"           // the result cannot be sent back
	CodeResultTooLarge  Code = "result_too_large" // the result is over its limit
	CodeQueueTimeout    Code = "queue_timeout"    // no instance became free in time
	CodeStart           Code = "start"            // no instance could be started
	CodeCancelled       Code = "cancelled"        // the caller went away or cancelled
	CodeUnavailable     Code = "unavailable"      // a part of the platform is away for now
	CodeInternal        Code = "internal"         // a fault of ours; its text stays inside the process
)

// Codes lists every code, for tests that loop over them.
var Codes = []Code{
	CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeExists, CodeConflict, CodeQuota, CodeTooLarge,
	CodeOverload, CodeDisabled, CodeUnsupported, CodeLoad, CodeException, CodeInit, CodeInitTimeout, CodeTimeout,
	CodeMemory, CodeExit, CodeResult, CodeResultTooLarge, CodeQueueTimeout, CodeStart, CodeCancelled, CodeUnavailable,
	CodeInternal,
}

// Fault says whose doing a failure is. Retry, billing and status depend on it.
type Fault string

// The three parties that can be at fault.
const (
	FaultCaller   Fault = "caller"
	FaultFunction Fault = "function"
	FaultPlatform Fault = "platform"
)

// Fault of a code: the party whose doing it is.
func (c Code) Fault() Fault {
	switch c {
	case CodeLoad, CodeException, CodeInit, CodeInitTimeout, CodeTimeout, CodeMemory, CodeExit, CodeResult, CodeResultTooLarge:
		return FaultFunction
	case CodeOverload, CodeQueueTimeout, CodeStart, CodeUnavailable, CodeInternal:
		return FaultPlatform
	default:
		return FaultCaller
	}
}

// Error is an expected failure. Anything that is not an Error is a fault of ours, and its text never leaves the process.
type Error struct {
	Code    Code
	Field   string // the parameter, kind of thing or limit concerned; "" where the code says all
	Message string // one sentence for the person who reads it
	Err     error  // the cause, for the log only
}

// Error gives the message, followed by the cause where there is one.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a code about a field.
func Errorf(code Code, field, format string, args ...any) *Error {
	return &Error{Code: code, Field: field, Message: fmt.Sprintf(format, args...)}
}

// CodeOf gives the code of err, and CodeInternal for anything that is not an Error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// NotFound is the Error for a thing of a kind ("function", "version", "alias", ...) that does not exist.
func NotFound(kind, name string) *Error {
	return Errorf(CodeNotFound, kind, "%s %q does not exist", kind, name)
}
