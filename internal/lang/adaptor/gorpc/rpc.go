//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"reflect"

	"golang.org/x/sys/unix"
)

// The messages of net/rpc and of the function's service. Gob goes by the names of fields, so these stand for the types of the
// other side.
type (
	rpcRequest struct {
		ServiceMethod string
		Seq           uint64
	}
	rpcResponse struct {
		ServiceMethod string
		Seq           uint64
		Error         string
	}
	invokeRequest struct {
		Payload []byte
		Header  map[string][]string
	}
	invokeResponse struct {
		StatusCode int
		Payload    []byte
	}
)

const invokeMethod = "Function.Invoke"

// rpc is a connection to the function. One may write while another reads.
type rpc struct {
	fd   int
	out  *bufio.Writer
	enc  *gob.Encoder
	in   *bufio.Reader
	dec  *gob.Decoder
	head rpcRequest
}

// socket reads and writes a blocking descriptor.
type socket int

func (fd socket) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (fd socket) Write(p []byte) (int, error) {
	for written := 0; ; {
		n, err := unix.Write(int(fd), p[written:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return written, err
		}
		if written += n; written == len(p) {
			return written, nil
		}
	}
}

// dialRPC greets a net/rpc server that is reached by HTTP, over a connection that is open.
func dialRPC(fd int) (*rpc, error) {
	s := socket(fd)
	c := &rpc{fd: fd, out: bufio.NewWriterSize(s, 4<<10), in: bufio.NewReaderSize(s, 4<<10)}
	c.enc, c.dec = gob.NewEncoder(c.out), gob.NewDecoder(c.in)
	if _, err := io.WriteString(s, "CONNECT /_goRPC_ HTTP/1.0\n\n"); err != nil {
		return nil, fmt.Errorf("the function's process does not take requests: %w", err)
	}
	const greeting, maxHead = "HTTP/1.0 200 Connected", 16
	line, err := c.in.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(line, []byte(greeting)) {
		return nil, fmt.Errorf("the function's process does not serve net/rpc at RUNTIME_API_ADDR: it answered %.100q", line)
	}
	for range maxHead {
		if line, err = c.in.ReadSlice('\n'); err != nil || len(bytes.TrimSpace(line)) == 0 {
			return c, err
		}
	}
	return nil, fmt.Errorf("the function's process does not serve net/rpc at RUNTIME_API_ADDR: its greeting has no end")
}

// send writes one request.
func (c *rpc) send(seq uint32, in *invokeRequest) error {
	c.head = rpcRequest{ServiceMethod: invokeMethod, Seq: uint64(seq)}
	if err := c.enc.Encode(&c.head); err != nil {
		return err
	}
	if err := c.enc.Encode(in); err != nil {
		return err
	}
	return c.out.Flush()
}

// receive reads one answer. failure is what net/rpc carries of an error; the answer is empty then.
func (c *rpc) receive() (seq uint64, failure string, out invokeResponse, err error) {
	var head rpcResponse
	if err = c.dec.Decode(&head); err != nil {
		return 0, "", out, err
	}
	if head.Error != "" {
		return head.Seq, head.Error, out, c.dec.DecodeValue(reflect.Value{}) // an empty body
	}
	err = c.dec.Decode(&out)
	return head.Seq, "", out, err
}

// cut ends the connection, so that receive returns.
func (c *rpc) cut() { _ = unix.Shutdown(c.fd, unix.SHUT_RDWR) } // fails only when it has ended

// warm has gob learn the types before there is a function, which is a good part of a first call.
func warm() {
	var wire bytes.Buffer
	c := &rpc{out: bufio.NewWriterSize(&wire, 512)}
	c.enc = gob.NewEncoder(c.out)
	in := &invokeRequest{Payload: []byte("{}"), Header: map[string][]string{"A": {"b"}}}
	_ = c.send(1, in) // into memory
	wire.Reset()
	enc := gob.NewEncoder(&wire)
	_ = enc.Encode(&rpcResponse{Seq: 1})
	_ = enc.Encode(&invokeResponse{StatusCode: 200, Payload: []byte("{}")})
	c.dec = gob.NewDecoder(&wire)
	_, _, _, _ = c.receive()
}
