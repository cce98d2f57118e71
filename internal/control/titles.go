package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// ByTitle gives the Latest version of the function that people call so: by its title, or by its name where it has no other
// title. Error: CodeNotFound, field "function".
func (s *Functions) ByTitle(ctx context.Context, project, pkg, title string) (*faas.Function, error) {
	key := faas.FunctionKey{Project: project, Package: pkg, Name: title, Version: faas.Latest}
	name, err := s.cfg.Store.NameOfTitle(ctx, project, pkg, title)
	switch {
	case err == nil:
		key.Name = name
		return s.cfg.Store.Function(ctx, key)
	case faas.CodeOf(err) != faas.CodeNotFound:
		return nil, err
	}
	f, err := s.cfg.Store.Function(ctx, key)
	if err == nil && f.Title != "" {
		return nil, faas.NotFound("function", title) // it goes by another name now
	}
	return f, err
}

// nameByTitle fills in the name of a function that is to be made under a title: the title itself where a function may have
// that name and none has, or else one made from it. Errors: CodeInvalid, field "name"; CodeExists, field "function".
func (s *Functions) nameByTitle(ctx context.Context, project string, n *NewFunction) error {
	if n.Title == "" || n.Name != "" {
		return nil
	}
	if err := faas.CheckTitle(n.Title); err != nil {
		return err
	}
	if err := s.freeTitle(ctx, project, n.Package, n.Title); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(n.Title))
	for _, name := range []string{n.Title, "fn-" + hex.EncodeToString(sum[:6]), "fn-" + strings.ToLower(rand.Text()[:12])} {
		if faas.CheckFunctionName(name) != nil {
			continue
		}
		_, err := s.cfg.Store.Function(ctx, faas.FunctionKey{Project: project, Package: n.Package, Name: name, Version: faas.Latest})
		if faas.CodeOf(err) == faas.CodeNotFound {
			if n.Name = name; name == n.Title {
				n.Title = ""
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return faas.Errorf(faas.CodeExists, "function", "function %q exists already", n.Title)
}

func (s *Functions) freeTitle(ctx context.Context, project, pkg, title string) error {
	_, err := s.ByTitle(ctx, project, pkg, title)
	switch {
	case err == nil:
		return faas.Errorf(faas.CodeExists, "function", "function %q exists already", title)
	case faas.CodeOf(err) != faas.CodeNotFound:
		return err
	}
	return nil
}

// Change sets what is given and replaces the code where code is not nil, as one change. A title that is given must be free.
// Errors: as Create.
func (s *Functions) Change(ctx context.Context, f *faas.Function, set Settings, code *Code) (*faas.Function, error) {
	if set.Title != nil {
		switch title := *set.Title; title {
		case f.DisplayName():
			set.Title = nil
		case f.Name:
			set.Title = new(string)
		default:
			if err := faas.CheckTitle(title); err != nil {
				return nil, err
			}
			if err := s.freeTitle(ctx, f.Project, f.Package, title); err != nil {
				return nil, err
			}
		}
	}
	var pkg faas.Package
	if code != nil {
		var err error
		if pkg, err = s.takeInFor(ctx, f, *code); err != nil {
			return nil, err
		}
	}
	urn := faas.URN{Package: f.Package, Name: f.Name}
	alter := func(f *faas.Function) error {
		f.ModifiedAt = s.now()
		if err := s.apply(f, set); err != nil || code == nil {
			return err
		}
		return s.setCode(f, pkg, f.ModifiedAt)
	}
	if err := s.rehearse(ctx, f.Project, urn, alter); err != nil {
		return nil, err
	}
	return s.change(ctx, f.Project, urn, alter)
}
