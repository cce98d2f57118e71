// Package faas is the ground floor: the nouns of the platform and the rules that hold for them in every dialect.
//
// It must not know HTTP, JSON, SQL, files, clocks or goroutines; it imports the standard library only.
package faas
