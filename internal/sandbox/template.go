package sandbox

import "context"

// Templater is a Driver that can make sandboxes of copies of a booted process, which is many times faster than to start
// the process each time. sandboxtest.RunTemplates is the conformance suite.
type Templater interface {
	// Template starts a process that waits to be copied, under a view without anything of a function's. It must run the
	// other side of the protocol below, and never foreign code. It returns once copies can be made. The limits in spec
	// have no meaning but for TmpBytes, nor has Patient.
	//
	// errors.ErrUnsupported says that this host gives no templates.
	Template(ctx context.Context, spec Spec) (Template, error)
}

// Template is a process that waits to be copied. Copies do not need it any longer: its end is not theirs.
type Template interface {
	// Start makes a sandbox of a copy. What Driver.Start promises holds, and what a sandbox may see and do is the same.
	// Command, Env and Empty are the template's and are not looked at; Mounts can stand only where the template's Empty
	// made room. Root, UID and GID are the template's too: errors.ErrUnsupported refuses a Spec that has its own.
	Start(ctx context.Context, spec Spec) (Instance, error)
	// Done is closed when the template has ended: by Close or by itself.
	Done() <-chan struct{}
	// Close ends it.
	Close()
}

// The protocol between a driver and a template's process, over file descriptor 3, numbers in the machine's byte order.
//
// The process has one thread and, beside 0 to 3, no descriptor open that a copy could not keep. Once it has booted it
// sends a TemplateHello: where its arena lies, memory that requests are read into, so that the driver can put addresses
// into them. It then serves requests, one after the other, until the stream ends, which ends it.
//
// A request begins with a TemplateRequest and brings descriptors, which get the numbers from TemplateHello.FirstFD on: the first
// is the one that the copy reports to, the second its own control socket, on which its program comes. The process makes a pipe
// (the next two numbers: reading end, writing end), and copies itself by clone3 with the arguments at Clone. It writes what
// stands at UserMap and GroupMap to the copy's files of those names, unless there is nothing, answers with a TemplateAnswer,
// then writes one byte to the pipe and closes what it was sent. So a copy that nobody was told of gets no further than the
// reading of that byte.
//
// The copy makes its control socket file descriptor 3, so that it has the template's no longer, and reads one message from there:
// a TemplateProgram, and descriptors, which get the numbers behind those of the pipe. The driver may send it before, as soon as
// it has made what the program needs; the end of the stream, before the message is whole, ends the copy. The copy makes the
// system calls at Calls, in order: each is eight words, the number, six arguments, and the least result that is no failure.
// After a failure it writes the call's index (all ones where descriptors have other numbers) and the error number, as two
// 32-bit words, to FirstFD, and exits with code 125. Otherwise it goes on as a process that has just been started.
//
// This leaves all that is known of isolation to the driver, and all that is known of an interpreter to the process.

// TemplateHello is sent once by a template.
type TemplateHello struct {
	Arena     uint64 // address
	ArenaSize uint64 // bytes
	FirstFD   uint64 // the number that the first descriptor of a request gets
	ThreadID  uint64 // address at which the C library keeps the thread id, 0 when unknown
	Robust    uint64 // address of the list of robust locks, 0 when unknown
	RobustLen uint64
}

// TemplateRequest stands at the beginning of a request. Places are counted in bytes from there.
type TemplateRequest struct {
	Size        uint64 // bytes of the request, this included
	Clone       uint64 // place of a struct clone_args
	CloneSize   uint64
	UserMap     uint64 // place
	UserMapLen  uint64
	GroupMap    uint64
	GroupMapLen uint64
	Patient     uint64 // 1 for a copy that is made ahead: it may take its time to get ready
}

// TemplateProgram stands at the beginning of what is sent to a copy. Places are counted in bytes from there.
type TemplateProgram struct {
	Size      uint64 // bytes of the message, this included
	Calls     uint64 // place of the first call
	CallCount uint64
}

// TemplateAnswer answers a request.
type TemplateAnswer struct {
	PID   int32 // of the copy, as the template sees it; -1 when there is none
	Errno int32 // why; 0 otherwise
}
