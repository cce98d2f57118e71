package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"slices"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// ReleaseStore keeps releases of the gateways' agent, and who shall run which.
type ReleaseStore interface {
	AddRelease(ctx context.Context, r faas.Release) error
	RemoveRelease(ctx context.Context, project, version string) error
	Releases(ctx context.Context, project string) ([]faas.Release, error)
	UseRelease(ctx context.Context, u faas.ReleaseUse) error
	ReleaseUses(ctx context.Context, project string) ([]faas.ReleaseUse, error)
	ReleaseFor(ctx context.Context, project string, id faas.GatewayID) (*faas.Release, error)
}

// AddRelease keeps a version of the agent; programs are by processor. Whether a program is the version that it is said to be is for
// the gateway to ask it. Errors: CodeInvalid, field "version", or the processor for what is no program of it; CodeTooLarge with the
// processor; CodeExists, field "version".
func (g *Gateways) AddRelease(ctx context.Context, project, version string, programs map[string][]byte) (faas.Release, error) {
	r := faas.Release{Project: project, Version: version, CreatedAt: g.now()}
	if err := faas.CheckReleaseVersion(version); err != nil {
		return r, err
	}
	if len(programs) == 0 {
		return r, faas.Errorf(faas.CodeInvalid, "programs", "a release needs the program of amd64, of arm64, or of both")
	}
	for arch, data := range programs {
		if err := checkProgram(arch, data); err != nil {
			return r, err
		}
	}
	for _, arch := range faas.ReleaseArchs {
		data, ok := programs[arch]
		if !ok {
			continue
		}
		pkg, err := g.cfg.Packages.Add(ctx, data)
		if err != nil {
			return r, err
		}
		sum := sha256.Sum256(data)
		r.Programs = append(r.Programs, faas.ReleaseProgram{Arch: arch, Digest: pkg.Digest, Size: pkg.Size, SHA256: hex.EncodeToString(sum[:])})
	}
	return r, g.cfg.Store.AddRelease(ctx, r)
}

// RemoveRelease removes a release that nobody shall run. Gateways that run it go on. Errors: CodeNotFound, field "version"; CodeConflict,
// field "version", while it is used.
func (g *Gateways) RemoveRelease(ctx context.Context, project, version string) error {
	return g.cfg.Store.RemoveRelease(ctx, project, version)
}

// machine is how ELF calls a processor.
func machine(arch string) elf.Machine {
	switch arch {
	case "amd64":
		return elf.EM_X86_64
	case "arm64":
		return elf.EM_AARCH64
	}
	return elf.EM_NONE
}

// checkProgram holds a program to what a gateway of that processor could start.
func checkProgram(arch string, data []byte) error {
	if !slices.Contains(faas.ReleaseArchs[:], arch) {
		return faas.Errorf(faas.CodeInvalid, "programs", "there are no agents for the processor %.20q; it must be amd64 or arm64", arch)
	}
	if len(data) > faas.MaxReleaseProgram {
		return faas.Errorf(faas.CodeTooLarge, arch, "the program for %s has %d bytes, over its limit of %d", arch, len(data), faas.MaxReleaseProgram)
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return faas.Errorf(faas.CodeInvalid, arch, "the file for %s is no ELF program", arch)
	}
	switch {
	case f.Machine != machine(arch) || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB:
		return faas.Errorf(faas.CodeInvalid, arch, "the file for %s is a program for another processor (%s)", arch, f.Machine)
	case !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_LOAD }),
		f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN, f.Entry == 0, f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX:
		return faas.Errorf(faas.CodeInvalid, arch, "the file for %s is ELF, but no program that Linux could start", arch)
	}
	return nil
}

// Releases lists the releases of a project, the youngest first, and who shall run which.
func (g *Gateways) Releases(ctx context.Context, project string) ([]faas.Release, []faas.ReleaseUse, error) {
	list, err := g.cfg.Store.Releases(ctx, project)
	if err != nil {
		return nil, nil, err
	}
	uses, err := g.cfg.Store.ReleaseUses(ctx, project)
	return list, uses, err
}

// UseRelease has a gateway run a release, or with SN "" those of a product that have none of their own, or with neither those of the
// project. Version "" takes back what was said of the same place; the gateways keep the agent that they run then, unless a wider place
// names another. Errors: CodeNotFound, field "version", "product" or "gateway".
func (g *Gateways) UseRelease(ctx context.Context, project string, id faas.GatewayID, version string) (faas.ReleaseUse, error) {
	u := faas.ReleaseUse{Project: project, GatewayID: id, Version: version}
	if id == (faas.GatewayID{}) {
		if err := g.cfg.Store.UseRelease(ctx, u); err != nil {
			return u, err
		}
		products, err := g.cfg.Store.Products(ctx, project)
		for i := range products {
			g.cfg.Changes.GatewayChanged(faas.GatewayID{Product: products[i].SN})
		}
		return u, err
	}
	var err error
	if u.GatewayID, err = g.place(ctx, project, id); err != nil {
		return u, err
	}
	if err := g.cfg.Store.UseRelease(ctx, u); err != nil {
		return u, err
	}
	g.cfg.Changes.GatewayChanged(u.GatewayID)
	return u, nil
}

// ReleaseOn gives the release that a gateway at hand shall run; nil for the one that it has.
func (g *Gateways) ReleaseOn(ctx context.Context, one *faas.Gateway) (*faas.Release, error) {
	return g.cfg.Store.ReleaseFor(ctx, one.Project, one.GatewayID)
}
