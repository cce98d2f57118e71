package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/content"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// release gives the digest of the version of the agent that a document asks for; "" where this one runs already, or there is none
// for this processor, or it must not replace itself.
func (a *Agent) release(doc *wire.Document) string {
	if a.cfg.Releases == nil || doc == nil || doc.Agent == nil || doc.Agent.Version == a.cfg.Version {
		return ""
	}
	return doc.Agent.Digests[goarch]
}

// reverted names the version that a document asks for where it was tried and given up.
func (a *Agent) reverted(doc *wire.Document) string {
	if digest := a.release(doc); digest != "" && a.cfg.Releases.Failed(digest) {
		return doc.Agent.Version
	}
	return ""
}

// upgrade has another version of the agent take over where the document says so. It ends with ctx: a newer document has come, or the
// agent stops, whose next start goes on.
func (p *applier) upgrade(ctx context.Context, doc wire.Document) {
	r, digest := p.a.cfg.Releases, p.a.release(&doc)
	if digest == "" || r.Failed(digest) || r.Tries(digest) {
		return
	}
	if r.Stays(digest) {
		p.notReplaced(ctx, doc, fmt.Errorf("the program is the one that is installed already, and it says that it is %q", p.a.cfg.Version))
		return
	}
	if !r.Has(digest) {
		if !p.fetchRelease(ctx, doc, digest) {
			return
		}
		p.a.cfg.Step(StepReleaseFetched)
		if err := r.Install(ctx, digest, doc.Agent.Version, p.a.content.Path(digest)); err != nil {
			p.notReplaced(ctx, doc, err)
			return
		}
		if err := p.a.content.Remove(digest); err != nil { // it is there twice
			p.a.log.Warn("a program that was installed cannot be removed", "err", err)
		}
	}
	p.a.cfg.Step(StepReleaseInstalled)
	if err := r.Try(digest, doc.Agent.Version); err != nil {
		p.notReplaced(ctx, doc, err)
		return
	}
	p.a.cfg.Step(StepReleaseNamed)
	p.a.log.Info("another version of the agent takes over", "version", doc.Agent.Version)
	poke(p.a.restart)
}

// retryRelease has the version that the newest document names tried once more, where it was given up.
func (a *Agent) retryRelease() (string, error) {
	if a.cfg.Releases == nil {
		return "", faas.Errorf(wire.CodeUnsupported, "kind", "this agent must not replace itself")
	}
	if err := a.cfg.Releases.Retry(); err != nil {
		return "", err
	}
	poke(a.applier.work)
	a.reporter.changed()
	return "the release is tried once more", nil
}

// fetchRelease brings the program to disk, as long as that takes. Nothing waits for it.
func (p *applier) fetchRelease(ctx context.Context, doc wire.Document, digest string) bool {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := p.fetch(ctx, wire.Code{Digest: digest, Size: -1})
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		p.a.log.Warn("the agent's next version cannot be had yet", "version", doc.Agent.Version, "err", err)
		if errors.Is(err, content.ErrDigest) { // nothing of it is kept; what comes next may be right
			p.notReplaced(ctx, doc, err)
		}
		p.askFresh(ctx)
		if !p.pause(ctx, pause) {
			return false
		}
	}
}

// notReplaced tells the cloud why the agent stays as it is.
func (p *applier) notReplaced(ctx context.Context, doc wire.Document, err error) {
	if ctx.Err() != nil {
		return
	}
	p.a.log.Error("the agent cannot be replaced", "version", doc.Agent.Version, "err", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.refuse(doc.Version, fmt.Errorf("agent %s: %w", doc.Agent.Version, err)) // it gives back what it is told
}
