// Package authtest is a store of identities in memory, for tests of what stands on auth.
//
// It must not know SQL, and is not for servers.
package authtest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Store is an auth.Store in memory. The zero value is empty and ready.
type Store struct {
	mu       sync.Mutex
	domains  map[string]faas.Domain
	projects map[string]faas.Project
	users    map[string]faas.User
	keys     map[string]faas.AccessKey
	bindings []faas.Binding
}

func pick[V any](m map[string]V, kind, id string) (V, error) {
	v, ok := m[id]
	if !ok {
		return v, faas.NotFound(kind, id)
	}
	return v, nil
}

func add[V any](m *map[string]V, kind, id string, v V) error {
	if _, there := (*m)[id]; there {
		return faas.Errorf(faas.CodeExists, kind, "%s %q exists", kind, id)
	}
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[id] = v
	return nil
}

// CreateOwner is of auth.Store.
func (s *Store) CreateOwner(_ context.Context, d faas.Domain, p faas.Project, u faas.User, k faas.AccessKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.domains) > 0 {
		return faas.Errorf(faas.CodeExists, "domain", "there is a domain already")
	}
	s.bindings = append(s.bindings, faas.Binding{HolderID: u.ID, Role: faas.RoleAdmin})
	return cmp.Or(add(&s.domains, "domain", d.ID, d), add(&s.projects, "project", p.ID, p),
		add(&s.users, "user", u.ID, u), add(&s.keys, "access_key", k.ID, k))
}

// DomainByID is of auth.Store.
func (s *Store) DomainByID(_ context.Context, id string) (faas.Domain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pick(s.domains, "domain", id)
}

// DomainByName is of auth.Store.
func (s *Store) DomainByName(_ context.Context, name string) (faas.Domain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.domains {
		if d.Name == name {
			return d, nil
		}
	}
	return faas.Domain{}, faas.NotFound("domain", name)
}

// ProjectByID is of auth.Store.
func (s *Store) ProjectByID(_ context.Context, id string) (faas.Project, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pick(s.projects, "project", id)
}

// Projects is of auth.Store.
func (s *Store) Projects(_ context.Context, domainID, name string) ([]faas.Project, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []faas.Project
	for _, p := range s.projects {
		if p.DomainID == domainID && (name == "" || p.Name == name) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b faas.Project) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// CreateProject is of auth.Store.
func (s *Store) CreateProject(_ context.Context, p faas.Project) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return add(&s.projects, "project", p.ID, p)
}

// UserByID is of auth.Store.
func (s *Store) UserByID(_ context.Context, id string) (faas.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pick(s.users, "user", id)
}

// UserByName is of auth.Store.
func (s *Store) UserByName(ctx context.Context, domainID, name string) (faas.User, error) {
	found, err := s.Users(ctx, domainID, name)
	if err != nil || len(found) == 0 {
		return faas.User{}, cmp.Or(err, error(faas.NotFound("user", name)))
	}
	return found[0], nil
}

// Users is of auth.Store.
func (s *Store) Users(_ context.Context, domainID, name string) ([]faas.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []faas.User
	for _, u := range s.users {
		if u.DomainID == domainID && (name == "" || u.Name == name) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b faas.User) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// CreateUser is of auth.Store.
func (s *Store) CreateUser(_ context.Context, u faas.User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return add(&s.users, "user", u.ID, u)
}

// AccessKey is of auth.Store.
func (s *Store) AccessKey(_ context.Context, id string) (faas.AccessKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pick(s.keys, "access_key", id)
}

// CreateAccessKey is of auth.Store.
func (s *Store) CreateAccessKey(_ context.Context, k faas.AccessKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return add(&s.keys, "access_key", k.ID, k)
}

// Bindings is of auth.Store.
func (s *Store) Bindings(_ context.Context, holderID string) ([]faas.Binding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []faas.Binding
	for _, b := range s.bindings {
		if b.HolderID == holderID {
			out = append(out, b)
		}
	}
	return out, nil
}

// Bind gives a role.
func (s *Store) Bind(b faas.Binding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bindings = append(s.bindings, b)
}

// ResetUser is of auth.Store.
func (s *Store) ResetUser(_ context.Context, userID, passwordHash string, k faas.AccessKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := pick(s.users, "user", userID)
	if err != nil {
		return err
	}
	u.PasswordHash = passwordHash
	s.users[userID] = u
	k.UserID = userID
	maps.DeleteFunc(s.keys, func(_ string, old faas.AccessKey) bool { return old.UserID == userID })
	s.keys[k.ID] = k
	return nil
}

// Remove takes a user or project away, for tests of what outlives them.
func (s *Store) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, id)
	delete(s.projects, id)
}

// CreateDomain puts a further domain in.
func (s *Store) CreateDomain(_ context.Context, d faas.Domain) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return add(&s.domains, "domain", d.ID, d)
}
