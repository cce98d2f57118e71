// Command main is a container image for tests: a web server on port 8000 that does what an event says.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

var inits int

func main() {
	http.HandleFunc("POST /init", func(w http.ResponseWriter, _ *http.Request) {
		inits++
		if os.Getenv("FAIL_INIT") != "" {
			http.Error(w, "no licence", http.StatusTeapot)
		}
	})
	http.HandleFunc("POST /invoke", invoke)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.URL) })
	fmt.Println("listening as", os.Args[1:])
	if err := http.ListenAndServe("127.0.0.1:8000", nil); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func invoke(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var event struct {
		Do   string `json:"do"`
		Path string `json:"path"`
	}
	_ = json.Unmarshal(body, &event) // an event may be anything
	var result any
	switch event.Do {
	case "who":
		dir, _ := os.Getwd()
		result = map[string]any{"uid": os.Getuid(), "gid": os.Getgid(), "dir": dir, "args": os.Args[1:], "image": os.Getenv("FROM_IMAGE"), "mode": os.Getenv("mode"), "inits": inits, "name": r.Header.Get("X-CFF-Func-Name")}
	case "ls":
		entries, _ := os.ReadDir(event.Path)
		names := []string{}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		result = names
	case "read":
		text, err := os.ReadFile(event.Path)
		result = fmt.Sprint(string(text), err)
	case "write":
		result = fmt.Sprint(os.WriteFile(event.Path, []byte("x"), 0o644))
	case "status":
		http.Error(w, "out of cheese", http.StatusBadGateway)
		return
	case "exit":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour)
	case "text":
		fmt.Fprint(w, "plain text")
		return
	default:
		fmt.Println("echoing")
		_, _ = w.Write(body)
		return
	}
	_ = json.NewEncoder(w).Encode(result)
}
