package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
)

const (
	defaultDir     = "/var/lib/hanshu-edge"
	enrollmentName = "enrollment.json"
)

// run runs the gateway.
func run(ctx context.Context, args []string, out io.Writer) error {
	set, dir := flags("run")
	config := set.String("config", "", "enrollment file (default: that of hanshu-edge enroll in the data directory)")
	bus := set.String("bus", agent.DefaultBus, "address of the local bus for drivers, on loopback; none for no bus")
	isolation := set.String("sandbox", "native", "how functions are isolated: native, or none for no protection at all")
	level := set.String("log-level", "info", "debug, info, warn or error")
	once := set.Bool("once", false, "say how everything is, and end")
	if _, err := parse(set, args); err != nil {
		return err
	}
	setup, err := agent.Find(*config, *dir, filepath.Join(defaultDir, enrollmentName))
	if err != nil {
		return err
	}
	if err := agent.MakeDir(setup.DataDir); err != nil {
		return err
	}
	if *once {
		if answer, err := (agent.Ask{Do: "diagnose"}).Send(setup.DataDir); err == nil {
			_, err = io.WriteString(out, answer.Text)
			return err
		}
	}
	unlock, err := lock(setup.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	if !*once {
		if err := agent.TakeOver(setup.DataDir, os.Environ(), unlock, nil); err != nil {
			fmt.Fprintln(os.Stderr, "hanshu-edge: another version cannot take over:", err)
		}
	}
	if *bus == "none" {
		*bus = ""
	}
	options := agent.Options{
		Setup: setup, Version: version, Bus: *bus, Sandbox: *isolation, Level: *level, Path: os.Getenv("PATH"), Token: token(setup.DataDir), Stderr: os.Stderr,
	}
	if !*once { // which looks, and changes nothing
		options.Self = agent.Installed(os.Environ())
	}
	a, err := agent.Open(ctx, options)
	if err != nil {
		return err
	}
	if *once {
		_, err = io.WriteString(out, a.Diagnose())
		return errors.Join(err, a.Close())
	}
	stop := giveBackNowAndThen()
	err = a.Run(ctx)
	stop()
	if errors.Is(err, agent.ErrRestart) {
		return agent.Restart(os.Environ(), unlock)
	}
	return err
}

// giveBackNowAndThen keeps an idle gateway small: after the start, and then every so often, until it is stopped.
func giveBackNowAndThen() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for wait := 5 * time.Second; ; wait = 30 * time.Second {
			select {
			case <-done:
				return
			case <-time.After(wait):
				giveBack()
			}
		}
	}()
	return func() { close(done); <-ended }
}

// lock keeps every other agent out of a data directory.
func lock(dir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another hanshu-edge runs on %s", dir)
	}
	return func() { f.Close() }, nil
}

// token names what this data directory's agent makes on the host, so that its next start can remove what a kill left.
func token(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	sum := sha256.Sum256([]byte(dir))
	return "edge" + hex.EncodeToString(sum[:6])
}

// enroll makes this machine a gateway.
func enroll(ctx context.Context, args []string, out io.Writer) error {
	set, dir := flags("enroll")
	file := set.String("file", "", "enrollment file, from hanshu gateway enroll")
	secret := set.String("product-secret", "", "ask the cloud for the gateway's own secret with this one of its product (dynamic registration)")
	if _, err := parse(set, args); err != nil {
		return err
	}
	if *file == "" {
		return usageError{errors.New("enroll wants --file")}
	}
	setup, err := agent.Enroll(ctx, *file, *dir, defaultDir, *secret)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "gateway %s of product %s\nnext: hanshu-edge run --data-dir %s\n", setup.Enrollment.GatewaySN, setup.Enrollment.ProductSN, setup.DataDir)
	return err
}

func status(_ context.Context, args []string, out io.Writer) error {
	set, dir := flags("status")
	asJSON := set.Bool("json", false, "for programs")
	if _, err := parse(set, args); err != nil {
		return err
	}
	do := "diagnose"
	if *asJSON {
		do = "status"
	}
	answer, err := agent.Ask{Do: do}.Send(orDefault(*dir))
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(answer.Status)
	}
	_, err = io.WriteString(out, answer.Text)
	return err
}

func orDefault(dir string) string {
	if dir == "" {
		return defaultDir
	}
	return dir
}

// apply hands a bundle to the agent that runs, or keeps it for the one that will.
func apply(ctx context.Context, args []string, out io.Writer) error {
	set, dir := flags("apply")
	words, err := parse(set, args, "BUNDLE")
	if err != nil {
		return err
	}
	path, err := filepath.Abs(words[0])
	if err != nil {
		return err
	}
	data := orDefault(*dir)
	unlock, err := lock(data)
	if err != nil { // one runs
		answer, err := agent.Ask{Do: "apply", Bundle: path}.Send(data)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, answer.Text)
		return err
	}
	defer unlock()
	setup, err := agent.Find("", data, filepath.Join(defaultDir, enrollmentName))
	if err != nil {
		return err
	}
	a, err := agent.Open(ctx, agent.Options{
		Setup: setup, Version: version, Sandbox: "none", Level: "warn", Path: os.Getenv("PATH"), Token: token(setup.DataDir), Stderr: os.Stderr, Quiet: true,
	})
	if err != nil {
		return err
	}
	accepted, err := a.Apply(path)
	if err = errors.Join(err, a.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "version %d is accepted, and is applied when the agent starts\n", accepted)
	return err
}

const unitText = `[Unit]
Description=hanshu edge gateway
After=network.target
StartLimitIntervalSec=0

[Service]
ExecStart=%s run --data-dir %s
Restart=always
RestartSec=2
KillMode=mixed
Delegate=yes
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
`

// unit prints a systemd unit. It does not wait for a network: the gateway works without one.
func unit(_ context.Context, args []string, out io.Writer) error {
	set, dir := flags("unit")
	if _, err := parse(set, args); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, unitText, agent.Installed(os.Environ()), orDefault(*dir))
	return err
}
