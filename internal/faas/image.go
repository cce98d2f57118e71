package faas

// RuntimeImage is the runtime name of functions that are container images.
const RuntimeImage = "Custom Image"

// KindImage is the kind of a Package that is a container image: its URL is the reference, its Digest that of the image's manifest.
const KindImage = "Custom-Image-Swr"

// Image is how a container image is to be run, as its owner says (FunctionGraph reference 5.6).
type Image struct {
	Ref        string   // e.g. "registry.example/team/app:v1"
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
