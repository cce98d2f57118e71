package pool

import "runtime"

// A function with many instances has no more of a processor that others want than one with as many as there are processors: beyond those they divide it among them. It is
// written down in steps, each twice the one before, so that a call rarely has to.
func (g *group) portion(in *instance) {
	g.mu.Lock()
	n := g.total
	g.mu.Unlock()
	of := int32(1)
	for int(of)*runtime.NumCPU() < n {
		of *= 2
	}
	if in.patient.Load() || in.part.Swap(of) == of {
		return
	}
	_ = in.box.SetShare(int(of)) // it fails where the process has ended, which the call will see
}
