package pool

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Network serves the network devices of instances.
type Network interface {
	// Connect serves a device under a policy until it is closed. tell gets a line for the function's log.
	Connect(device *os.File, policy faas.Egress, tell func(line string)) (io.Closer, error)
}

// Walls tells how a function is kept apart.
type Walls interface {
	Walls(ctx context.Context, f *faas.Function) (faas.Walls, error)
}

// wallsOf gives the walls of a function and the driver that makes them. Error: CodeUnsupported where this server has no such.
func (p *Pool) wallsOf(ctx context.Context, f *faas.Function) (faas.Walls, sandbox.Driver, error) {
	var w faas.Walls
	if p.cfg.Walls != nil {
		var err error
		if w, err = p.cfg.Walls.Walls(ctx, f); err != nil {
			return w, nil, err
		}
	}
	driver, err := p.driverOf(w)
	return w, driver, err
}

// CheckWalls refuses walls that this server does not have. Error: CodeUnsupported.
func (p *Pool) CheckWalls(w faas.Walls) error {
	_, err := p.driverOf(w)
	return err
}

// driverOf gives the driver that makes walls.
func (p *Pool) driverOf(w faas.Walls) (sandbox.Driver, error) {
	driver := p.cfg.Driver
	if w.Isolation != "" && w.Isolation != driver.Capabilities().Driver {
		driver = p.cfg.Levels[w.Isolation]
	}
	if driver == nil {
		return nil, faas.Errorf(faas.CodeUnsupported, "isolation", "this server has no isolation %q; %s", w.Isolation, wayTo(w.Isolation))
	}
	c := driver.Capabilities()
	if !w.Egress.None() && c.Isolated && (!c.Network || p.cfg.Network == nil) {
		return nil, faas.Errorf(faas.CodeUnsupported, "egress", "the sandbox of this server (%s) gives functions no way out to the network; set egress to none, or see `hanshu doctor`", c.Driver)
	}
	return driver, nil
}

func wayTo(level string) string {
	if level == faas.IsolationOCI {
		return "start it with --oci-runtime, the path of runsc or another OCI runtime"
	}
	return "start it with --sandbox=" + level
}

// checkWalls refuses a function that cannot be kept apart as it is to be.
func (p *Pool) checkWalls(ctx context.Context, f *faas.Function) (sandbox.Driver, error) {
	_, driver, err := p.wallsOf(ctx, f)
	return driver, err
}

// ProjectChanged retires the instances of a project whose walls have changed. Calls under way end undisturbed.
func (p *Pool) ProjectChanged(project string) {
	p.mu.Lock()
	p.wallsEpoch++
	var outdated []*group
	for k, g := range p.groups {
		if project == g.function.Project {
			outdated = append(outdated, g)
			delete(p.groups, k)
		}
	}
	p.mu.Unlock()
	for _, g := range outdated {
		g.supersede()
		p.Reserve(g.function)
	}
}

// networked tells whether instances of a group get a network device.
func (g *group) networked() bool {
	return !g.walls.Egress.None() && g.driver.Capabilities().Network
}

// giveNetwork connects an instance that runs no code yet to what its function may reach.
func (p *Pool) giveNetwork(in *instance, g *group) error {
	in.shut = g.walls.Egress.None() && g.driver.Capabilities().Isolated
	if !g.networked() {
		return nil
	}
	device, err := in.box.Network()
	if err != nil {
		return fmt.Errorf("give network: %w", err)
	}
	way, err := p.cfg.Network.Connect(device, g.walls.Egress, in.output.say)
	if err != nil {
		return fmt.Errorf("give network: %w", err)
	}
	in.endLock.Lock()
	over := in.over
	in.way = way
	in.endLock.Unlock()
	if over {
		way.Close()
	}
	return nil
}

// say adds a line of the platform's to what a worker prints, as a warning.
func (o *output) say(line string) {
	text := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, line)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return
	}
	o.drain() // what was printed before comes before
	mark := string([]byte{lang.LogMark, 'W'})
	if n := len(o.held); n > 0 && o.held[n-1] != '\n' {
		mark = "\n" + mark
	}
	o.hold([]byte(mark + text + "\n"))
}

// shutSigns are what languages say where there is no network at all.
var shutSigns = []string{
	"Temporary failure in name resolution", "Network is unreachable", "network is unreachable", "ENETUNREACH", "EAI_AGAIN",
	"UnknownHostException", "Name or service not known", "Could not resolve host",
}

// hintOfNetwork tells a function that failed for want of a network what to do about it.
func (in *instance) hintOfNetwork(res *faas.Result) {
	if !in.shut || res.Failure == nil {
		return
	}
	signs := func(text string) bool {
		return slices.ContainsFunc(shutSigns, func(sign string) bool { return strings.Contains(text, sign) })
	}
	if !signs(res.Failure.Type) && !signs(res.Failure.Message) && !slices.ContainsFunc(res.Failure.Stack, signs) {
		return
	}
	res.Logs = append(res.Logs, faas.LogLine{Time: time.Now(), Level: faas.LevelWarn,
		Text: "this function has no way out to the network (egress none): allow it with `hanshu deploy --egress open`, or better a list such as --egress api.example.com:443"})
}
