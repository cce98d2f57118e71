package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/test/swarm"
)

// fleet is what was measured of gateways' sessions on one server.
type fleet struct {
	sessions int           // as many as the machine's files allow
	open     time.Duration // until all were there
	back     time.Duration // until all had come back after all had been cut
	rss      float64       // MiB of the server with all sessions
	each     float64       // KiB of that, of one session
}

const (
	lineFleetRSS  = "edge: server RSS with 20,000 sessions"
	lineFleetBack = "edge: 5,000 sessions back after a cut"
	stormSessions = 5000
	spareFiles    = 500 // of the process that has the sessions, beside these
	fleetTime     = 15 * time.Minute
)

// measureFleet opens sessions of gateways on a server of their own.
func (b *bench) measureFleet(ctx context.Context) error {
	mqtt, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	s, done, err := b.ownServer(ctx, "--mqtt-listen", mqtt)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, fleetTime)
	defer cancel()
	f := &fleet{sessions: b.opts.sessions}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	f.sessions = min(f.sessions, int(files.Cur)-spareFiles)
	fmt.Fprintf(b.log, "making %d gateways\n", f.sessions)
	accounts, err := swarm.Enroll(ctx, "http://"+s.address, s.User, s.Password, "fleet", f.sessions)
	if err != nil {
		return fmt.Errorf("make gateways: %w", err)
	}
	before, err := memoryOf(s.pid())
	if err != nil {
		return err
	}
	begun := time.Now()
	all, err := swarm.Open(ctx, mqtt, accounts)
	if err != nil {
		return fmt.Errorf("open sessions: %w", err)
	}
	f.open = time.Since(begun)
	fmt.Fprintf(b.log, "%d sessions in %v\n", f.sessions, f.open)
	after, err := memoryOf(s.pid())
	all.Close()
	if err != nil {
		return err
	}
	f.rss, f.each = after.RSS, (after.RSS-before.RSS)*1024/float64(f.sessions)
	few := accounts[:min(stormSessions, len(accounts))]
	if all, err = swarm.Open(ctx, mqtt, few); err != nil {
		return fmt.Errorf("open sessions: %w", err)
	}
	all.Close()
	begun = time.Now()
	if all, err = swarm.Open(ctx, mqtt, few); err != nil {
		return fmt.Errorf("sessions that come back: %w", err)
	}
	f.back = time.Since(begun)
	fmt.Fprintf(b.log, "%d sessions came back in %v\n", len(few), f.back)
	all.Close()
	b.fleet = f
	return nil
}

// rows also gives what 20,000 sessions would take where the machine let fewer be open. nil gives none.
func (f *fleet) rows() []row {
	if f == nil {
		return nil
	}
	whole := f.rss
	if f.sessions < defaultSessions {
		whole += f.each * float64(defaultSessions-f.sessions) / 1024
	}
	return []row{
		{Line: "edge: sessions open", Unit: count, Value: float64(f.sessions)},
		{Line: "edge: sessions opened", Unit: perSecond, Value: float64(f.sessions) / f.open.Seconds()},
		{Line: "edge: server RSS, all sessions", Unit: mebibyte, Value: f.rss},
		{Line: lineFleetRSS, Unit: mebibyte, Value: whole},
		{Line: lineFleetBack, Unit: millisecond, Value: float64(f.back.Milliseconds())},
	}
}

const defaultSessions = 20_000

// fleetAims are the targets of edge reference 4.7.
func fleetAims() map[string]aim {
	return map[string]aim{lineFleetRSS: {bound: 2048}, lineFleetBack: {bound: 30_000}}
}
