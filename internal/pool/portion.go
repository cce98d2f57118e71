package pool

import "runtime"

// weigh has a function with n instances weigh no more, where others want the processor too, than one with as many instances as there are processors: beyond those they divide
// it among them. It goes in steps, each twice the one before, so that a call rarely changes anything.
func (in *instance) weigh(n int) {
	of := int32(1)
	for int(of)*runtime.NumCPU() < n {
		of *= 2
	}
	if in.patient.Load() || max(in.portion.Swap(of), 1) == of {
		return
	}
	_ = in.box.SetShare(int(of)) // it fails where the process has ended, which the call will see
}
