package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

//go:embed worker.py
var workerPython string

//go:embed worker.js
var workerNode string

//go:embed worker.php
var workerPHP string

// runEcho is the first floor: net/http that answers what it was sent. It prints its address and serves until it is ended.
func runEcho(ctx context.Context, in *bufio.Reader, out io.Writer) error {
	go endWithParent(in)
	return serveFloor(ctx, out, func(body []byte) ([]byte, error) { return body, nil })
}

// runFront is the second floor: net/http in front of one persistent worker, which args start.
func runFront(ctx context.Context, in *bufio.Reader, out io.Writer, args []string) error {
	go endWithParent(in)
	w, err := startWorker(ctx, args)
	if err != nil {
		return err
	}
	defer w.stop()
	if _, err := w.call([]byte("{}")); err != nil { // so that it has started when the address is told
		return err
	}
	var mu sync.Mutex
	return serveFloor(ctx, out, func(body []byte) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		return w.call(body)
	})
}

func serveFloor(ctx context.Context, out io.Writer, answer func([]byte) ([]byte, error)) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: floorHandler(answer), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Fprintln(out, listener.Addr())
	return server.Serve(listener)
}

func floorHandler(answer func([]byte) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 || r.ContentLength > maxBody {
			http.Error(w, "no length", http.StatusLengthRequired)
			return
		}
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		if err == nil {
			body, err = answer(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the client went away
	}
}

// worker is a process that answers frames over a Unix socket, one at a time.
type worker struct {
	cmd    *exec.Cmd
	conn   net.Conn
	reader *bufio.Reader
}

// startWorker starts a program with one end of a socket as file descriptor 3, and an environment that is the same everywhere.
func startWorker(ctx context.Context, args []string) (*worker, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	defer ours.Close() // net.FileConn has its own
	connection, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		connection.Close()
		return nil, err
	}
	return &worker{cmd: cmd, conn: connection, reader: bufio.NewReader(connection)}, nil
}

func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}

func (w *worker) call(body []byte) ([]byte, error) {
	if err := writeFrame(w.conn, body); err != nil {
		return nil, err
	}
	return readFrame(w.reader)
}

func writeFrame(w io.Writer, body []byte) error {
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	_, err := w.Write(append(frame, body...))
	return err
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > maxBody {
		return nil, fmt.Errorf("a frame of %d bytes", length)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}

// stop ends the worker by closing its socket and waits for it.
func (w *worker) stop() {
	w.conn.Close()
	_ = w.cmd.Wait() // it ends by the end of its input, whatever its exit code
}

// runWorker is the floor's worker in Go. It does not look into the JSON: it stands for the start of a process.
func runWorker() error {
	control := os.NewFile(3, "control")
	for {
		body, err := readFrame(control)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = writeFrame(control, body)
		}
		if err != nil {
			return err
		}
	}
}
