// A function in Go, built to an executable: the platform calls it by net/rpc at RUNTIME_API_ADDR.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/rpc"
	"os"
)

// Function is the service that the platform calls.
type Function struct{}

// Request is an event with what is told beside it, such as X-Cff-Request-Id.
type Request struct {
	Payload []byte
	Header  http.Header
}

// Response goes back as JSON.
type Response struct {
	StatusCode int
	Payload    []byte
}

// Invoke greets whom the event names. An error is the failure of the call.
func (Function) Invoke(in *Request, out *Response) error {
	event := struct{ Name string }{"world"}
	if err := json.Unmarshal(in.Payload, &event); err != nil {
		return err
	}
	fmt.Println("greeting", event.Name)
	answer, err := json.Marshal(map[string]string{"message": os.Getenv("GREETING") + ", " + event.Name + "!"})
	out.StatusCode, out.Payload = http.StatusOK, answer
	return err
}

func main() {
	if err := rpc.Register(Function{}); err != nil {
		log.Fatal(err)
	}
	rpc.HandleHTTP()
	log.Fatal(http.ListenAndServe(os.Getenv("RUNTIME_API_ADDR"), nil))
}
