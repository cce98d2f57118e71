package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// fakeName is under which this program passes for an interpreter that hanshu finds in its PATH: a PHP of a version that there
// is not. It is then a worker that speaks hanshu's frames and does nothing else, in the sandbox and by the pool of every
// other: what hanshu itself costs, without a language.
const (
	fakeName    = "php9.9"
	fakeVersion = "9.9"
)

// layFake puts a copy of this program under its other name into a folder of its own, which the caller removes. It may not
// lie in /tmp, which is another one in a sandbox.
func layFake() (dir string, err error) {
	if dir, err = os.MkdirTemp("/var/tmp", "hanshu-bench-"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // a sandbox has a user of its own
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, fakeName), program, 0o755)
}

// isFake tells whether the program was started as the interpreter.
func isFake() bool { return filepath.Base(os.Args[0]) == fakeName }

// runFake answers as PHP does when it is asked for its version and folder, and is a worker otherwise.
func runFake(args []string, out io.Writer) error {
	if slices.Contains(args, "-r") {
		_, err := fmt.Fprintf(out, "%s.0\n%s\n", fakeVersion, filepath.Dir(os.Args[0]))
		return err
	}
	control := os.NewFile(3, "control")
	return serveFrames(bufio.NewReader(control), control)
}

// The frames of hanshu: a size, a type, a zero, the size of the part called meta, the number of the call; then meta and body.
const (
	frameReady, frameLoad, frameLoaded, frameCall, frameResult = 1, 2, 3, 4, 5

	frameHead = 12
)

// serveFrames answers every call with its event, until its input ends.
func serveFrames(in io.Reader, out io.Writer) error {
	buffer := appendHead(nil, frameReady, 0, 0, 0)
	for {
		if _, err := out.Write(buffer); err != nil {
			return err
		}
		var head [frameHead]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size, kind, meta := binary.BigEndian.Uint32(head[:]), head[4], binary.BigEndian.Uint16(head[6:])
		if size > maxBody {
			return fmt.Errorf("a frame of %d bytes", size)
		}
		rest := make([]byte, size)
		if _, err := io.ReadFull(in, rest); err != nil {
			return err
		}
		switch kind {
		case frameLoad:
			buffer = appendHead(buffer[:0], frameLoaded, 0, 0, 0)
		case frameCall:
			event := rest[meta:]
			buffer = appendHead(buffer[:0], frameResult, binary.BigEndian.Uint32(head[8:]), 4, len(event))
			buffer = binary.BigEndian.AppendUint32(buffer, peakKiB())
			buffer = append(buffer, event...)
		default:
			return fmt.Errorf("a frame of type %d", kind)
		}
	}
}

func appendHead(b []byte, kind byte, call uint32, meta, body int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(meta+body))
	b = append(b, kind, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(meta))
	return binary.BigEndian.AppendUint32(b, call)
}

// peakKiB is the highest resident memory, which every worker of hanshu tells with each answer.
func peakKiB() uint32 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // cannot fail
	return uint32(usage.Maxrss)
}

// roomy is how many instances the server may have: more than are ever made, so that no cold start has to wait for the end of another
// function's instance.
const roomy = 1000

// startServerWithFake starts the server with the folder of the other name in its PATH.
func startServerWithFake(ctx context.Context, binary, dir, fake string) (*server, error) {
	env := append(os.Environ(), "PATH="+fake+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return startServer(ctx, env, binary, dir, "--max-instances", strconv.Itoa(roomy))
}
