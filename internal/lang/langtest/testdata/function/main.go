// Command function is the example of every runtime that takes executables: what it is called and where it finds itself tells it
// which contract to keep. It does what an event asks for.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// event says what to do.
type event struct {
	Do   string
	Text string
	N    int
}

func main() {
	if len(os.Args) > 1 { // the daemon of "daemon"
		time.Sleep(time.Hour)
		return
	}
	fmt.Println(os.Getenv("AT_START"))
	if os.Getenv("AT_START") == "exit" {
		os.Exit(4)
	}
	if os.Getenv("AT_START") == "hang" {
		time.Sleep(time.Hour)
	}
	address := os.Getenv("RUNTIME_API_ADDR")
	switch {
	case filepath.Base(os.Args[0]) != "bootstrap":
		fmt.Println(serveRPC(address))
	case address != "":
		pollers := 1
		if os.Getenv("pollers") != "" {
			pollers = 4
		}
		var all sync.WaitGroup
		for range pollers {
			all.Go(func() { fmt.Println(poll("http://" + address + "/v1/runtime/invocation/")) })
		}
		all.Wait()
	default:
		port := os.Getenv("port")
		if port == "" {
			port = "8000"
		}
		fmt.Println(http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(serveHTTP)))
	}
	os.Exit(9)
}

// act does what an event asks for. header is what came beside the event.
func act(payload []byte, header http.Header) ([]byte, error) {
	var e event
	if json.Unmarshal(payload, &e) != nil || e.Do == "" {
		return payload, nil
	}
	switch e.Do {
	case "text":
		return []byte(e.Text), nil
	case "binary":
		return []byte{0xff, 0xfe, 0}, nil
	case "header":
		return json.Marshal(header)
	case "env":
		dir, _ := os.Getwd()
		all := map[string]string{"cwd": dir}
		for _, pair := range os.Environ() {
			name, value, _ := strings.Cut(pair, "=")
			all[name] = value
		}
		return json.Marshal(all)
	case "long":
		return []byte(`"` + strings.Repeat("y", e.N-2) + `"`), nil
	case "fail":
		text, _ := json.Marshal(map[string]any{"errorMessage": "out of cheese", "errorType": "FunctionReturnError", "stackTrace": []string{"main.go:1"}})
		return nil, errors.New(string(text))
	case "plain":
		return nil, errors.New(e.Text)
	case "print":
		fmt.Println("one")
		fmt.Fprintln(os.Stderr, "two")
		fmt.Print("unfinished")
		return []byte("null"), nil
	case "alloc":
		hold := bytes.Repeat([]byte{1}, e.N<<20)
		runtime.KeepAlive(hold)
		return json.Marshal(len(hold))
	case "fetch":
		return fetch(e.Text)
	case "sleep":
		time.Sleep(time.Duration(e.N) * time.Millisecond)
		return []byte("null"), nil
	}
	return harm(e)
}

// fetch gives what a server answers, as JSON; on a connection of its own, as who is reached may differ from call to call.
func fetch(url string) ([]byte, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return json.Marshal("failed: " + err.Error())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(text))
}

// harm does what no function should.
func harm(e event) ([]byte, error) {
	switch e.Do {
	case "exit":
		fmt.Println("bye")
		os.Exit(e.N)
	case "kill":
		return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "close":
		for fd := 3; fd < 256; fd++ {
			_ = syscall.Close(fd)
		}
	case "descriptors":
		return descriptors(), nil
	case "daemon":
		child := exec.Command(os.Args[0], "daemon")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return nil, err
		}
		return json.Marshal(child.Process.Pid)
	case "parent":
		return parent(), nil
	case "wire": // said on the connection that the call came over, in front of its answer
		text, err := base64.StdEncoding.DecodeString(e.Text)
		for _, fd := range connections() {
			_, err = syscall.Write(fd, text)
		}
		time.Sleep(time.Duration(e.N) * time.Millisecond)
		return []byte("null"), err
	case "hangup":
		for _, fd := range connections() {
			_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
		}
		time.Sleep(time.Hour)
	case "hold":
		child := exec.Command(os.Args[0], "daemon")
		for _, fd := range connections() {
			child.ExtraFiles = append(child.ExtraFiles, os.NewFile(uintptr(fd), "connection"))
		}
		if err := child.Start(); err != nil {
			return nil, err
		}
		os.Exit(e.N)
	case "signals":
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1} {
			if err := syscall.Kill(os.Getppid(), s); err != nil {
				return nil, err
			}
		}
		return []byte("null"), nil
	}
	return nil, errors.New("cannot " + e.Do)
}

// descriptors lists what is open beside what this program opened: sockets that it was handed.
func descriptors() []byte {
	found := []string{}
	for fd := range 256 {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			continue
		}
		name, err := syscall.Getsockname(fd)
		if _, unix := name.(*syscall.SockaddrUnix); err == nil && unix {
			found = append(found, target)
		}
	}
	text, _ := json.Marshal(found)
	return text
}

// connections lists the descriptors of those who call.
func connections() (all []int) {
	for fd := range 256 {
		name, err := syscall.Getpeername(fd)
		if _, tcp := name.(*syscall.SockaddrInet4); err == nil && tcp {
			all = append(all, fd)
		} else if _, tcp := name.(*syscall.SockaddrInet6); err == nil && tcp {
			all = append(all, fd)
		}
	}
	return all
}

// parent tries to look into the worker, and tells of each way whether it works.
func parent() []byte {
	folder := fmt.Sprintf("/proc/%d/", os.Getppid())
	works := map[string]bool{}
	for _, name := range []string{"mem", "environ", "maps", "fd/3"} {
		f, err := os.OpenFile(folder+name, os.O_RDWR, 0)
		if err != nil {
			f, err = os.Open(folder + name)
		}
		works[name] = err == nil
		if err == nil {
			f.Close()
		}
	}
	_, err := os.ReadDir(folder + "fd")
	works["fd"] = err == nil
	pidfd, _, errno := syscall.RawSyscall(434, uintptr(os.Getppid()), 0, 0) // pidfd_open
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(438, pidfd, 3, 0) // pidfd_getfd
	}
	works["pidfd_getfd"] = errno == 0
	text, _ := json.Marshal(works)
	return text
}

// The types of FunctionGraph's Go library, as its wire carries them.
type (
	InvokeRequest struct {
		Payload []byte
		Header  http.Header
	}
	InvokeResponse struct {
		StatusCode int
		Payload    []byte
	}
	HealthCheckRequest  struct{}
	HealthCheckResponse struct{}
	Function            struct{}
)

func (Function) Invoke(in *InvokeRequest, out *InvokeResponse) error {
	answer, err := act(in.Payload, in.Header)
	if err != nil && strings.HasPrefix(err.Error(), "status:") {
		out.StatusCode, out.Payload = 555, []byte(`{"errorMessage":"told by status","errorType":"panic"}`)
		return nil
	}
	out.StatusCode, out.Payload = http.StatusOK, answer
	return err
}

func (Function) HealthCheck(*HealthCheckRequest, *HealthCheckResponse) error { return nil }

func serveRPC(address string) error {
	if err := rpc.Register(Function{}); err != nil {
		return err
	}
	rpc.HandleHTTP()
	return http.ListenAndServe(address, nil)
}

// poll is the loop of a custom runtime.
func poll(api string) error {
	for {
		res, err := http.Get(api + "request")
		if err != nil {
			return err
		}
		payload, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return err
		}
		id := res.Header.Get("X-Cff-Request-Id")
		var e event
		_ = json.Unmarshal(payload, &e)
		switch e.Do {
		case "twice":
			a, err := post(api+"response/"+id, []byte(`"first"`))
			b, err2 := post(api+"response/"+id, []byte(`"second"`))
			fmt.Println(a, b, err, err2)
			continue
		case "stranger":
			status, err := post(api+"response/another-id", []byte(`"forged"`))
			answer, _ := json.Marshal(fmt.Sprint(status, err))
			if _, err := post(api+"response/"+id, answer); err != nil {
				return err
			}
			continue
		}
		answer, failure := act(payload, res.Header)
		path := "response/"
		if failure != nil {
			path, answer = "error/", []byte(failure.Error())
		}
		if _, err := post(api+path+id, answer); err != nil {
			return err
		}
	}
}

func post(url string, body []byte) (int, error) {
	res, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, nil
}

// serveHTTP is a web server with a few pages, the one at / taking events.
func serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch r.URL.Path {
	case "/echo":
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "path": r.URL.Path, "query": r.URL.Query(), "host": r.Host,
			"header": r.Header, "body": base64.StdEncoding.EncodeToString(body),
		})
	case "/stream":
		for i := range 3 {
			fmt.Fprintf(w, "part %d\n", i)
			_ = http.NewResponseController(w).Flush()
			if i < 2 {
				<-next
			}
		}
	case "/next":
		next <- struct{}{}
	case "/upgrade":
		upgrade(w, r)
	case "/abort":
		panic(http.ErrAbortHandler)
	default:
		answer, err := act(body, r.Header)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			answer = []byte(err.Error())
		}
		_, _ = w.Write(answer)
	}
}

// next lets a stream go on.
var next = make(chan struct{})

// upgrade gives back what it is sent, in another protocol than HTTP.
func upgrade(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}
