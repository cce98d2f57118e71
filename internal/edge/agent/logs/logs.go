// Package logs keeps the last lines of functions, and of the agent, in files on the gateway: five of 1 MB each (edge reference
// 1.4), which are sent when somebody asks.
//
// It must not know who writes.
package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Agent is the name of the agent's own log. No function can have it.
const Agent = ".agent"

// The bounds of one log.
const (
	fileBytes = 1 << 20
	files     = 5
	maxLine   = 16 << 10
)

// Logs is a folder of logs. Lines that the disk has no room for are lost, and counted.
type Logs struct {
	dir string

	mu   sync.Mutex
	open map[string]*file
	lost int64
}

type file struct {
	f    *os.File
	size int64
}

// Open opens a folder of logs, made when missing.
func Open(dir string) (*Logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	return &Logs{dir: dir, open: map[string]*file{}}, nil
}

// Add writes lines of a function.
func (l *Logs) Add(name string, lines []faas.LogLine) {
	if len(lines) == 0 {
		return
	}
	var text bytes.Buffer
	for _, line := range lines {
		fmt.Fprintf(&text, "%s %s %.*s\n", line.Time.UTC().Format("2006-01-02T15:04:05.000Z"), line.Level, maxLine, line.Text)
	}
	l.write(name, text.Bytes())
}

// Say writes one line of a level, now.
func (l *Logs) Say(name, level, text string) {
	l.Add(name, []faas.LogLine{{Time: time.Now(), Level: level, Text: text}})
}

// Writer gives the agent's own log.
func (l *Logs) Writer() io.Writer { return writer{l} }

type writer struct{ l *Logs }

func (w writer) Write(p []byte) (int, error) {
	w.l.write(Agent, p)
	return len(p), nil
}

func (l *Logs) write(name string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, err := l.file(name)
	if err == nil && one.size >= fileBytes {
		if err = l.rotate(name, one); err == nil {
			one, err = l.file(name)
		}
	}
	if err == nil {
		var n int
		n, err = one.f.Write(text)
		one.size += int64(n)
	}
	if err != nil {
		l.lost++
	}
}

// path of the log of a name as it was n files ago.
func (l *Logs) path(name string, n int) string {
	if n == 0 {
		return filepath.Join(l.dir, name+".log")
	}
	return filepath.Join(l.dir, fmt.Sprintf("%s.log.%d", name, n))
}

func (l *Logs) file(name string) (*file, error) {
	if one := l.open[name]; one != nil {
		return one, nil
	}
	f, err := os.OpenFile(l.path(name, 0), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	one := &file{f: f, size: info.Size()}
	l.open[name] = one
	return one, nil
}

func (l *Logs) rotate(name string, one *file) error {
	delete(l.open, name)
	if err := one.f.Close(); err != nil {
		return err
	}
	for n := files - 2; n >= 0; n-- {
		if err := os.Rename(l.path(name, n), l.path(name, n+1)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// Tail gives the last lines of a log, at most so many and within a number of bytes.
func (l *Logs) Tail(name string, lines, limit int) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text []byte
	for n := 0; n < files && bytes.Count(text, []byte("\n")) <= lines && len(text) < limit; n++ {
		more, err := end(l.path(name, n), int64(limit))
		if os.IsNotExist(err) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("logs: %w", err)
		}
		text = append(more, text...)
	}
	for len(text) > 0 && (bytes.Count(text, []byte("\n")) > lines || len(text) > limit) {
		i := bytes.IndexByte(text, '\n')
		text = text[i+1:]
		if i < 0 {
			text = nil
		}
	}
	return string(text), nil
}

// end reads the last bytes of a file.
func end(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > n {
		if _, err := f.Seek(-n, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(f)
}

// Lost is how many writes found no room.
func (l *Logs) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Forget removes the logs of names that are not kept, but for the agent's.
func (l *Logs) Forget(kept func(name string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, _ := filepath.Glob(filepath.Join(l.dir, "*.log*")) // the pattern is good
	for _, path := range found {
		name, _, _ := bytes.Cut([]byte(filepath.Base(path)), []byte(".log"))
		if n := string(name); n != Agent && !kept(n) {
			if one := l.open[n]; one != nil {
				one.f.Close()
				delete(l.open, n)
			}
			os.Remove(path)
		}
	}
}

// Close closes the files.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, one := range l.open {
		one.f.Close()
		delete(l.open, name)
	}
	return nil
}
