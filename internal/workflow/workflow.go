// Package workflow runs state machines over functions: durable ones, whose every result is on disk before the next step begins, and
// short ones that leave only their end.
//
// A definition is data (definition.go). The interpreter is a pure step function: a Machine takes in recorded events and gives
// effects, and has no clock, no chance and no I/O of its own (machine.go). The Engine records the events, and then lets the
// effects happen (engine.go). A run that only waits is held by nobody: it is a row with a time.
//
// It must not know SQL, HTTP, how a function runs, or the words of any dialect beyond the definition itself.
package workflow

import "embed"

// Schema is the JSON Schema of a definition.
//
//go:embed schema.json
var schema embed.FS

// Schema gives the JSON Schema of definitions, draft 2020-12.
func Schema() []byte {
	text, err := schema.ReadFile("schema.json")
	if err != nil {
		panic(err) // never: it is compiled in
	}
	return text
}
