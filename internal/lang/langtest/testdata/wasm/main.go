// Command main is an example function for the WASM runtime: the event names what to try.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

func main() {
	var event struct {
		Do   string `json:"do"`
		Path string `json:"path"`
		Text string `json:"text"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&event); err != nil {
		panic(err)
	}
	result, err := try(event.Do, event.Path, event.Text)
	if err != nil {
		result = "error: " + err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}

func try(do, path, text string) (any, error) {
	switch do {
	case "environment":
		return map[string]string{
			"arg0": os.Args[0], "colour": os.Getenv("colour"), "name": os.Getenv("RUNTIME_FUNC_NAME"), "request": os.Getenv("RUNTIME_REQUEST_ID"),
			"alias": os.Getenv("RUNTIME_FUNC_ALIAS"), "key": os.Getenv("RUNTIME_ACCESS_KEY"),
		}, nil
	case "deadline":
		return os.Getenv("RUNTIME_DEADLINE_MS"), nil
	case "sleep":
		begun := time.Now()
		time.Sleep(20 * time.Millisecond)
		return time.Since(begun) >= 20*time.Millisecond && begun.Year() >= 2024, nil
	case "random":
		b := make([]byte, 16)
		_, err := rand.Read(b)
		return fmt.Sprintf("%x", b), err
	case "read":
		b, err := os.ReadFile(path)
		return string(b), err
	case "write":
		return "", os.WriteFile(path, []byte(text), 0o644)
	case "list":
		found, err := filepath.Glob(path)
		return found, err
	case "symlink":
		return "", os.Symlink(text, path)
	case "rename":
		return "", os.Rename(path, text)
	case "dial":
		_, err := net.Dial("tcp", text)
		return "", err
	case "panic":
		panic(text)
	case "log":
		fmt.Fprintln(os.Stderr, "first")
		fmt.Fprint(os.Stderr, "sec")
		fmt.Fprint(os.Stderr, "ond\nlast without an end")
		return nil, nil
	case "grow":
		var kept [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := range b {
				b[i] = 1
			}
			kept = append(kept, b)
			fmt.Fprintln(os.Stderr, len(kept))
		}
	case "drain":
		n, err := io.Copy(io.Discard, os.Stdin)
		return n, err
	}
	return nil, fmt.Errorf("nothing is known of %q", do)
}
