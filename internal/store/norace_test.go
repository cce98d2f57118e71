//go:build !race

package store

// race tells whether the race detector watches this run.
const race = false
