package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// wasmEcho is a WASI command that writes its standard input to its standard output: two pages of memory and a loop of fd_read
// and fd_write, as small as a compiled C program.
const wasmEcho = "AGFzbQEAAAABEANgBH9/f38Bf2ABfwBgAAACZwMWd2FzaV9zbmFwc2hvdF9wcmV2aWV3MQdmZF9yZWFkAAAWd2FzaV9zbmFwc2hvdF9wcmV2aWV3MQhmZF93cml0ZQAAFndhc2lfc25hcHNob3RfcHJldmlldzEJcHJvY19leGl0AAEDAgECBQMBAAIHEwIGbWVtb3J5AgAGX3N0YXJ0AAMKQgFAAANAQQBBgBA2AgBBBEGAgAQ2AgBBAEEAQQFBCBAAGkEIKAIABEBBBEEIKAIANgIAQQFBAEEBQQgQARoMAQsLCwsHAQBBgAgLAA=="

// wasmCalls is how often a fresh instance is measured; the first wasmWarm of them do not count.
const (
	wasmCalls = 3000
	wasmWarm  = 200
)

// wasmTimes are the times, in ms, of calls that each get a fresh instance.
type wasmTimes struct {
	calls coldTimes // Run: from the server to the worker in its sandbox, and back
	floor []float64 // the same instance and the same event in this process, and nothing else
}

// freshInstances measures calls of a function of the WASM runtime, and the floor between them, so that both meet the same machine.
func (b *bench) freshInstances(ctx context.Context) error {
	module, err := base64.StdEncoding.DecodeString(wasmEcho)
	if err != nil {
		return err
	}
	to, err := b.server.create(ctx, language{Handler: "main.wasm", Source: string(module)}, "WASM", "echo-wasm")
	if err != nil {
		return err
	}
	bare, err := newBareWASM(ctx, module)
	if err != nil {
		return err
	}
	defer bare.runtime.Close(ctx)
	c, err := dial(ctx, to.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range wasmCalls {
		took, err := bare.run(ctx, payload())
		if err != nil {
			return err
		}
		t := &b.wasm.calls
		if i < wasmWarm {
			t = new(coldTimes)
		} else {
			b.wasm.floor = append(b.wasm.floor, ms(took))
		}
		if err := t.call(c, to); err != nil {
			return err
		}
	}
	return nil
}

// bareWASM is the engine without anything around it.
type bareWASM struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

func newBareWASM(ctx context.Context, module []byte) (*bareWASM, error) {
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, err
	}
	compiled, err := r.CompileModule(ctx, module)
	return &bareWASM{r, compiled}, err
}

func (w *bareWASM) run(ctx context.Context, event []byte) (time.Duration, error) {
	var out bytes.Buffer
	began := time.Now()
	m, err := w.runtime.InstantiateModule(ctx, w.module, wazero.NewModuleConfig().WithName("").WithStdin(bytes.NewReader(event)).WithStdout(&out))
	if err != nil {
		return 0, err
	}
	err = m.Close(ctx)
	return time.Since(began), err
}

// wasmRows are the lines of the WASM runtime.
func (b *bench) wasmRows() []row {
	var rows []row
	for _, q := range []struct {
		line string
		part float64
	}{{lineWASMMedian, 0.5}, {lineWASMTail, 0.99}} {
		value, floor := quantile(b.wasm.calls.Run, q.part), quantile(b.wasm.floor, q.part)
		rows = append(rows, row{Line: q.line, Unit: millisecond, Value: value, Floor: floor, Ratio: over(value, floor)})
	}
	return rows
}

const (
	lineWASMMedian = "WASM fresh instance, p50"
	lineWASMTail   = "WASM fresh instance, p99"
)
