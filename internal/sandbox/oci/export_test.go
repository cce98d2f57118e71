//go:build linux

package oci

import "github.com/hanshu-faas/hanshu/internal/sandbox"

// RuntimePID gives the process of the runtime that stays in the foreground of a container.
func RuntimePID(in sandbox.Instance) int { return in.(*instance).process.Process.Pid }
