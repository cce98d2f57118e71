package control

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Images brings container images to this server. Errors have the field "custom_image".
type Images interface {
	// Pull finds what a reference names now and makes it ready to run. It gives the image's digest and its size unpacked, in bytes.
	Pull(ctx context.Context, ref string) (digest string, size int64, err error)
}

// takeInFor takes in the code of a function as its runtime wants it: a package, or an image, which takes the place of one. The
// image is pinned: what its reference names later is another digest, and comes with the next change of the code.
func (s *Functions) takeInFor(ctx context.Context, f *faas.Function, c Code) (faas.Package, error) {
	if f.Spec.Runtime != faas.RuntimeImage {
		return s.takeIn(ctx, c)
	}
	switch {
	case s.cfg.Images == nil:
		return faas.Package{}, faas.Errorf(faas.CodeUnsupported, "runtime", "this server runs no container images")
	case c.Kind != "" && c.Kind != faas.KindImage:
		return faas.Package{}, faas.Errorf(faas.CodeInvalid, "code_type", "code_type must be %s when runtime is %s", faas.KindImage, faas.RuntimeImage)
	case !c.empty():
		return faas.Package{}, faas.Errorf(faas.CodeInvalid, "func_code", "func_code and code_url must be empty when runtime is %s: the code is the image", faas.RuntimeImage)
	}
	digest, size, err := s.cfg.Images.Pull(ctx, f.Spec.Image.Ref)
	if err != nil {
		return faas.Package{}, err
	}
	return faas.Package{Kind: faas.KindImage, Digest: digest, Size: size}, nil
}

// setImage gives a function its image and holds both to each other. A function does not become an image, nor an image a
// function of another runtime: its code would be that of the other.
func setImage(f *faas.Function, was faas.Spec, image *faas.Image) error {
	spec := &f.Spec
	if image != nil {
		if spec.Image = image; image.Ref == "" {
			spec.Image = nil
		}
	}
	is, before := spec.Runtime == faas.RuntimeImage, was.Runtime == faas.RuntimeImage
	switch {
	case is && spec.Image == nil:
		return faas.Errorf(faas.CodeInvalid, "custom_image", "custom_image must be enabled and name an image when runtime is %s", faas.RuntimeImage)
	case was.Runtime != "" && is != before:
		return faas.Errorf(faas.CodeInvalid, "runtime", "runtime cannot change from or to %s: make another function", faas.RuntimeImage)
	case !is && spec.Image != nil:
		return faas.Errorf(faas.CodeInvalid, "custom_image", "custom_image can be enabled for the runtime %s only", faas.RuntimeImage)
	case is:
		return spec.Image.Check()
	}
	return nil
}
