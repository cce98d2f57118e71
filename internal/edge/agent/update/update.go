// Package update keeps versions of the agent's own program, and says which of them runs: a new one on trial, until it has shown
// that it reaches the cloud, and the one before it otherwise.
//
// It must not know what the program does.
package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	maxTrials = 2 // starts of a version that has not shown itself
	// Trial is how long a new version has to reach the cloud.
	Trial     = time.Minute
	probeTime = 20 * time.Second
)

// Releases is a folder of programs. Make one with Open.
type Releases struct {
	dir string

	mu    sync.Mutex
	state state
}

// program is one version.
type program struct {
	Digest  string `json:"digest"`
	Version string `json:"version"`
}

type state struct {
	Base    string   `json:"base"` // digest of the program that was installed by hand
	Current *program `json:"current,omitempty"`
	Trying  *program `json:"trying,omitempty"`
	Trials  int      `json:"trials,omitempty"`
	Failed  []string `json:"failed,omitempty"` // digests
}

// Open opens a folder, made when missing. self is the program that was installed by hand: another one than before makes everything
// else in the folder void. What no state names goes: a power cut may have left it.
func Open(dir, self string) (*Releases, error) {
	r := &Releases{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	text, err := os.ReadFile(r.file())
	if err == nil {
		err = json.Unmarshal(text, &r.state)
	}
	if err != nil {
		r.state = state{}
	}
	if filepath.Dir(self) == dir {
		return r, nil // it runs already, and who started it has looked
	}
	base, err := digestOf(self)
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	if r.state.Base != base {
		r.state = state{Base: base}
		if err := r.save(); err != nil {
			return r, err
		}
	}
	r.sweep()
	return r, nil
}

// sweep removes what is neither the version that stays nor the one on trial. What cannot be removed is left for the next start.
func (r *Releases) sweep() {
	kept := map[string]bool{filepath.Base(r.file()): true}
	for _, p := range []*program{r.state.Current, r.state.Trying} {
		if p != nil {
			kept[p.Digest] = true
		}
	}
	found, _ := os.ReadDir(r.dir) // nothing is found where it cannot be read
	for _, entry := range found {
		if !kept[entry.Name()] {
			_ = os.Remove(filepath.Join(r.dir, entry.Name()))
		}
	}
}

func (r *Releases) file() string { return filepath.Join(r.dir, "state.json") }

func (r *Releases) path(digest string) string { return filepath.Join(r.dir, digest) }

func (r *Releases) save() error {
	text, err := json.Marshal(r.state)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(r.dir, ".state-*")
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), r.file())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("update: %w", err), os.Remove(tmp.Name()))
	}
	return r.sync()
}

// sync has the names in the folder be on disk.
func (r *Releases) sync() error {
	d, err := os.Open(r.dir)
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Choose says which program is to run: "" for the one that was installed by hand. Each call counts as a start.
func (r *Releases) Choose() (path string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.state.Trying; t != nil {
		if r.state.Trials >= maxTrials || !r.sound(t.Digest) {
			r.fail()
		} else {
			r.state.Trials++
			if err := r.save(); err != nil {
				return "", err // rather the old one than one that is not counted
			}
			return r.path(t.Digest), nil
		}
		if err := r.save(); err != nil {
			return "", err
		}
	}
	if c := r.state.Current; c != nil && r.sound(c.Digest) {
		return r.path(c.Digest), nil
	}
	return "", nil
}

// sound tells whether a program is on disk as it was verified.
func (r *Releases) sound(digest string) bool {
	found, err := digestOf(r.path(digest))
	return err == nil && found == digest
}

// fail gives the version on trial up.
func (r *Releases) fail() {
	if r.state.Trying != nil {
		r.state.Failed = append(r.state.Failed, r.state.Trying.Digest)
		r.state.Failed = r.state.Failed[max(0, len(r.state.Failed)-10):]
		_ = os.Remove(r.path(r.state.Trying.Digest)) // it is named as failed, whether it is there or not
	}
	r.state.Trying, r.state.Trials = nil, 0
}

// Has tells whether a program is there.
func (r *Releases) Has(digest string) bool { return r.sound(digest) }

// Failed tells whether a program was tried and given up.
func (r *Releases) Failed(digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.state.Failed {
		if f == digest {
			return true
		}
	}
	return false
}

// Retry forgets which programs were given up, so that they may be tried once more.
func (r *Releases) Retry() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Failed = nil
	return r.save()
}

// Stays tells whether a program is the one that stays already.
func (r *Releases) Stays(digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Current != nil && r.state.Current.Digest == digest
}

// Tries tells whether a program runs on trial now. It has been started for that, so it is not tried once more.
func (r *Releases) Tries(digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Trying != nil && r.state.Trying.Digest == digest && r.state.Trials > 0
}

// Install copies a verified program into the folder, once it says of itself that it is the version named.
func (r *Releases) Install(ctx context.Context, digest, version, from string) error {
	target := r.path(digest)
	if err := copyFile(target+".new", from); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	defer os.Remove(target + ".new") // finds nothing once it is renamed
	if found, err := digestOf(target + ".new"); err != nil || found != digest {
		return errors.Join(err, errors.New("update: the program is not the one that its digest names"))
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, target+".new", "version").Output()
	if err != nil {
		return fmt.Errorf("update: the program does not run here: %w", err)
	}
	if said := strings.TrimSpace(string(out)); said != version {
		return fmt.Errorf("update: the program says that it is %.40q, not %q", said, version)
	}
	if err := os.Rename(target+".new", target); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return r.sync() // before the state names it
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// Try has a program run at the next start.
func (r *Releases) Try(digest, version string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Trying, r.state.Trials = &program{digest, version}, 0
	return r.save()
}

// OnTrial tells whether the program that runs has to show itself.
func (r *Releases) OnTrial() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Trying != nil && r.state.Trials > 0
}

// Passed makes the version on trial the one that stays.
func (r *Releases) Passed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Trying == nil || r.state.Trials == 0 {
		return nil
	}
	old := r.state.Current
	r.state.Current, r.state.Trying, r.state.Trials = r.state.Trying, nil, 0
	if err := r.save(); err != nil {
		return err
	}
	if old != nil && old.Digest != r.state.Current.Digest {
		return os.Remove(r.path(old.Digest))
	}
	return nil
}

// GiveUp has the version before the one on trial run at the next start.
func (r *Releases) GiveUp() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail()
	return r.save()
}
