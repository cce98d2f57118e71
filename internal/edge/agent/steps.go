package agent

import (
	"context"
	"io"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/content"
)

// The steps of an update, as Config.Step is told them. Whatever ends the agent behind one of them, the next start goes on: with
// what was good, and then with the newest document that was accepted.
const (
	StepChecked   = "checked"   // the signature is right, and nothing is on disk
	StepAccepted  = "accepted"  // the document is on disk
	StepReceiving = "receiving" // some of one package is on disk
	StepReceived  = "received"  // all of it is, and right, without a name yet
	StepFetched   = "fetched"   // it has its name
	StepStored    = "stored"    // all of the document's have
	StepTrying    = "trying"    // it is on disk that new code is about to run
	StepUnpacking = "unpacking" // one package was read whole, and its folder is not there yet
	StepWarmed    = "warmed"    // one new function has loaded
	StepSwitched  = "switched"  // all that load take calls
	StepWatched   = "watched"   // the health window is over
	StepSettled   = "settled"   // the new generation is good, on disk
	StepSwept     = "swept"     // packages of older ones are gone
	StepReported  = "reported"  // the cloud has heard that it is good
)

// Steps lists them in their order.
func Steps() []string {
	return []string{
		StepChecked, StepAccepted, StepReceiving, StepReceived, StepFetched, StepStored, StepTrying, StepUnpacking, StepWarmed, StepSwitched, StepWatched,
		StepSettled, StepSwept, StepReported,
	}
}

// The steps of a change to another version of the agent, as Config.Step is told them. Whatever ends the agent behind one of them, the
// next start goes on.
const (
	StepReleaseFetched   = "release fetched"   // the program is on disk, verified
	StepReleaseInstalled = "release installed" // it has said which version it is, and lies where it can be started
	StepReleaseNamed     = "release named"     // the next start tries it
	StepReleaseChosen    = "release chosen"    // this start does, and is counted
	StepReleasePassed    = "release passed"    // it has reached the cloud, and stays
)

// ReleaseSteps lists them in their order.
func ReleaseSteps() []string {
	return []string{StepReleaseFetched, StepReleaseInstalled, StepReleaseNamed, StepReleaseChosen, StepReleasePassed}
}

// told has the store of packages tell its steps.
func (a *Agent) told() content.Told {
	return content.Told{Receiving: func() { a.cfg.Step(StepReceiving) }, Received: func() { a.cfg.Step(StepReceived) }}
}

// unpacking gives packages to be unpacked.
type unpacking struct{ a *Agent }

// Open is of blob.Opener.
func (u unpacking) Open(ctx context.Context, digest string) (io.ReadCloser, error) {
	r, err := u.a.content.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	return &unpacked{r, u.a}, nil
}

// unpacked is a package that is being read for that.
type unpacked struct {
	io.ReadCloser
	a *Agent
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err == io.EOF {
		u.a.cfg.Step(StepUnpacking)
	}
	return n, err
}
