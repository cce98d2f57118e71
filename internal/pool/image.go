package pool

import (
	"cmp"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// checkImage refuses a container image where none can be run.
func (p *Pool) checkImage(driver sandbox.Driver) error {
	if p.cfg.Images == nil || !driver.Capabilities().Root {
		return faas.Errorf(faas.CodeUnsupported, "runtime", "runtime %s needs a sandbox that shows another root, which this server does not have: start it without --sandbox=none", faas.RuntimeImage)
	}
	return nil
}

// comeUpFromImage gives a worker in a sandbox whose root is the image's. None waits prepared, as the root is there from the start.
func (p *Pool) comeUpFromImage(g *group) (*instance, error) {
	f := g.function
	if err := p.checkImage(g.driver); err != nil {
		p.unreserve()
		return nil, err
	}
	root, release, err := p.cfg.Images.Root(p.ctx, f.Spec.Image.Ref, f.Code.Digest)
	if err != nil {
		p.unreserve()
		return nil, err
	}
	memory := int64(g.key.memoryMB) << 20
	spec, err := p.boxSpec(g.runtime, f.Name, memory)
	if err != nil {
		p.unreserve()
		release()
		return nil, err
	}
	spec.Root, spec.UID, spec.GID = root.Path, f.Spec.Image.UID, f.Spec.Image.GID
	spec.Dir, spec.TmpBytes, spec.Network = "/", tmpBytes(f, memory), g.networked()
	box, err := g.driver.Start(p.ctx, spec)
	in, err := p.follow(box, err, g.runtime, release)
	if err != nil {
		p.unreserve()
		return nil, err
	}
	in.memoryMB, in.image, in.booting = g.key.memoryMB, &root, true
	return in, nil
}

// loadImage tells a worker what to start. Variables of the function stand above those of the image.
func loadImage(load *lang.Load, image *faas.Image, root faas.ImageRoot) {
	load.Command = image.Argv(root)
	load.WorkingDir = cmp.Or(image.WorkingDir, root.WorkingDir, "/")
	for _, pair := range root.Env {
		name, value, _ := strings.Cut(pair, "=")
		if _, ok := load.Env[name]; !ok {
			load.Env[name] = value
		}
	}
}
