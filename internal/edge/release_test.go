package edge_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// program is the heads of an ELF file, with its name behind them.
func program(t *testing.T, machine elf.Machine, kind elf.Type, name string) []byte {
	t.Helper()
	head := elf.Header64{Type: uint16(kind), Machine: uint16(machine), Version: 1, Entry: 64, Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: 1}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA], head.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var out bytes.Buffer
	require.NoError(t, binary.Write(&out, binary.LittleEndian, head))
	require.NoError(t, binary.Write(&out, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD)}))
	return append(out.Bytes(), name...)
}

// TestRelease: who is said to run a release is sent a document that names it, with an address beside it.
func TestRelease(t *testing.T) {
	t.Parallel()
	c, ctx := newCloud(t), t.Context()
	one, secret := c.gateway(t, "p1", "g1")
	two, _ := c.gateway(t, "p1", "g2")
	amd, arm := program(t, elf.EM_X86_64, elf.ET_EXEC, "a"), program(t, elf.EM_AARCH64, elf.ET_EXEC, "b")
	for name, bad := range map[string]map[string][]byte{
		"processor": {"amd64": arm}, "text": {"arm64": []byte("#!/bin/sh\n")}, "object": {"amd64": program(t, elf.EM_X86_64, elf.ET_REL, "c")},
		"unknown": {"mips": amd}, "none": {}, "half": {"amd64": amd, "arm64": amd}, "core": {"amd64": program(t, elf.EM_X86_64, elf.ET_CORE, "d")},
	} {
		_, err := c.placed.AddRelease(ctx, project, "v2", bad)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), name)
	}
	_, err := c.placed.AddRelease(ctx, project, "v2", map[string][]byte{"amd64": make([]byte, faas.MaxReleaseProgram+1)})
	require.Equal(t, faas.CodeTooLarge, faas.CodeOf(err))
	made, err := c.placed.AddRelease(ctx, project, "v2", map[string][]byte{"amd64": amd, "arm64": arm})
	require.NoError(t, err)
	_, err = c.placed.AddRelease(ctx, "q", "v3", map[string][]byte{"amd64": amd})
	require.NoError(t, err)

	d := c.device(t, one, secret)
	d.say(wire.Hello, wire.HelloMessage{})
	require.Nil(t, next(t, d.desired).Agent)
	_, err = c.placed.UseRelease(ctx, project, faas.GatewayID{Product: "p1"}, "v3")
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err), "it is of another project")
	_, err = c.placed.UseRelease(ctx, project, faas.GatewayID{SN: "g1"}, "v2")
	require.NoError(t, err)
	doc := next(t, d.desired)
	require.Equal(t, &wire.Release{Version: "v2", Digests: map[string]string{"amd64": made.Programs[0].SHA256, "arm64": made.Programs[1].SHA256}}, doc.Agent)
	e, packages, _, err := c.Desired(ctx, faas.GatewayID{Product: two.Product, SN: two.Gateway})
	require.NoError(t, err)
	require.NotContains(t, string(e.Payload), "agent", "another gateway is not concerned")
	require.Empty(t, packages)

	d.say(wire.Reported, wire.ReportedMessage{Version: doc.Version, Agent: wire.Agent{Version: "v1", Arch: "arm64", Reverted: "v2"}})
	eventually(t, func() bool {
		g, err := c.placed.Gateway(ctx, project, faas.GatewayID{SN: "g1"})
		require.NoError(t, err)
		state, _ := g.Report.ReleaseState(&made)
		return state == faas.ReleaseReverted
	})
	_, err = c.placed.UseRelease(ctx, project, faas.GatewayID{}, "v2")
	require.NoError(t, err)
	_, err = c.placed.UseRelease(ctx, project, faas.GatewayID{SN: "g1"}, "")
	require.NoError(t, err)
	_, err = c.placed.UseRelease(ctx, project, faas.GatewayID{}, "")
	require.NoError(t, err)
	require.Nil(t, next(t, d.desired).Agent)
}
