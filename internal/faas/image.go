package faas

import (
	"path"
	"slices"
	"strings"
)

// RuntimeImage is the runtime name of functions that are container images.
const RuntimeImage = "Custom Image"

// KindImage is the kind of a Package that is a container image: its Digest is that of the image's manifest, "sha256:" and 64 hex
// digits, and its Size is the image unpacked.
const KindImage = "Custom-Image-Swr"

// Image is how a container image is to be run, as its owner says (FunctionGraph reference 5.6). It is not changed once made.
type Image struct {
	Ref        string   // e.g. "registry.example/team/app:v1"; what it names when the code is set is what runs
	Command    []string // nil for the image's own
	Args       []string // likewise
	WorkingDir string   // likewise, ""
	UID, GID   int      // 0 for the usual 1003
}

// ImageRoot is an image on this node, with what it says of itself.
type ImageRoot struct {
	Path       string // folder with its root filesystem, read-only
	Entrypoint []string
	Cmd        []string
	Env        []string // NAME=value
	WorkingDir string   // "" for /
}

// Check holds an Image to its rules. Error: CodeInvalid, field "custom_image".
func (i *Image) Check() error {
	bad := func(what string) error { return Errorf(CodeInvalid, "custom_image", "custom_image %s", what) }
	size := len(i.WorkingDir)
	for _, arg := range slices.Concat(i.Command, i.Args) {
		size += len(arg)
		if strings.ContainsRune(arg, 0) {
			return bad("has a zero byte in its command or args")
		}
	}
	switch {
	case i.Ref == "":
		return bad("must name an image")
	case size > maxCommandBytes:
		return bad("has over 16384 bytes of command, args and working_dir")
	case i.WorkingDir != "" && (!path.IsAbs(i.WorkingDir) || strings.ContainsRune(i.WorkingDir, 0)):
		return bad("must have an absolute working_dir")
	case i.UID < 0 || i.UID > maxID || i.GID < 0 || i.GID > maxID:
		return bad("must have uid and gid from 1 to 65534: an image does not run as root")
	}
	return nil
}

const (
	maxCommandBytes = 16 << 10
	maxID           = 65534
)

// Argv is the command line of an image: the owner's where there is one, else the image's own. Arguments of the image's own go with
// its own command only.
func (i *Image) Argv(root ImageRoot) []string {
	command, args := root.Entrypoint, root.Cmd
	if len(i.Command) > 0 {
		command, args = i.Command, nil
	}
	if len(i.Args) > 0 {
		args = i.Args
	}
	return append(append([]string(nil), command...), args...)
}
