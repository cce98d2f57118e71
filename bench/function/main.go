// Command function is the echo of the runtimes that take executables. It is built by the bench, and called main or bootstrap
// there, which tells it whether it is a function of Go1.x or of Custom.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/rpc"
	"os"
	"path/filepath"
)

// Function is the service of a Go function.
type Function struct{}

// Request is an event.
type Request struct {
	Payload []byte
	Header  http.Header
}

// Response is an answer.
type Response struct {
	StatusCode int
	Payload    []byte
}

// Invoke gives the event back.
func (Function) Invoke(in *Request, out *Response) error {
	out.StatusCode, out.Payload = http.StatusOK, in.Payload
	return nil
}

func main() {
	address := os.Getenv("RUNTIME_API_ADDR")
	if filepath.Base(os.Args[0]) == "bootstrap" {
		log.Fatal(poll("http://" + address + "/v1/runtime/invocation/"))
	}
	if err := rpc.Register(Function{}); err != nil {
		log.Fatal(err)
	}
	rpc.HandleHTTP()
	log.Fatal(http.ListenAndServe(address, nil))
}

func poll(api string) error {
	for {
		request, err := do(http.MethodGet, api+"request", nil)
		if err != nil {
			return err
		}
		answered, err := do(http.MethodPost, api+"response/"+request.Header.Get("X-Cff-Request-Id"), request.Body)
		request.Body.Close()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answered.Body)
		answered.Body.Close()
		if err != nil {
			return err
		}
	}
}

func do(method, url string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}
