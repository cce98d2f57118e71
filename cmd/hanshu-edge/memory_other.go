//go:build !linux

package main

import "runtime/debug"

// giveBack lets go of the memory that a start needs and what follows does not.
func giveBack() { debug.FreeOSMemory() }
