//go:build !linux

package blob

// bootID names this run of the host's kernel; "" when it cannot be told.
func bootID() string { return "" }
