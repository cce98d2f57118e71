package pool

import (
	"context"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Credentials gives a function what it works with as its agency: good for the longest call that begins before RenewAt. They are
// none, with a RenewAt, where there is no such agency.
type Credentials interface {
	Credentials(ctx context.Context, f *faas.Function) (faas.Credentials, error)
}

// credit is what an instance works with as its function's agency.
type credit struct {
	mu   sync.Mutex
	has  faas.Credentials
	told bool // the worker knows of has
}

const (
	creditTime  = 5 * time.Second // to find credentials in
	creditRetry = time.Minute     // after which it is tried again to find some
)

// credentials gives what the instance works with from now on, renewed where that is due. Where others cannot be found it goes on
// with those it has.
func (in *instance) credentials(f *faas.Function) faas.Credentials {
	if f.Spec.Agency() == "" || in.pool.cfg.Credentials == nil {
		return faas.Credentials{}
	}
	in.credit.mu.Lock()
	defer in.credit.mu.Unlock()
	in.renew(f)
	return in.credit.has
}

// renew is credentials with the lock held.
func (in *instance) renew(f *faas.Function) {
	now := time.Now()
	if now.Before(in.credit.has.RenewAt) {
		return
	}
	ctx, cancel := context.WithTimeout(in.pool.ctx, creditTime)
	defer cancel()
	fresh, err := in.pool.cfg.Credentials.Credentials(ctx, f)
	if err != nil {
		in.pool.cfg.Log.Warn("credentials of an agency", "function", f.Package+"/"+f.Name, "agency", f.Spec.Agency(), "error", err)
		in.credit.has.RenewAt = now.Add(creditRetry)
		return
	}
	if fresh.AuthToken != in.credit.has.AuthToken {
		in.credit.told = false
	}
	in.credit.has = fresh
}

// firstCredentials are those to load a function with.
func (in *instance) firstCredentials(f *faas.Function) lang.Credentials {
	c := in.credentials(f)
	in.credit.mu.Lock()
	defer in.credit.mu.Unlock()
	in.credit.told = true
	return wireCredentials(c)
}

// renewedCredentials are those that a call must bring; nil while the worker knows what the instance works with.
func (in *instance) renewedCredentials(f *faas.Function) *lang.Credentials {
	if f.Spec.Agency() == "" || in.pool.cfg.Credentials == nil {
		return nil
	}
	in.credit.mu.Lock()
	defer in.credit.mu.Unlock()
	if in.renew(f); in.credit.told {
		return nil
	}
	in.credit.told = true
	c := wireCredentials(in.credit.has)
	return &c
}

func wireCredentials(c faas.Credentials) lang.Credentials {
	return lang.Credentials{AccessKey: c.AccessKey, SecretKey: c.SecretKey, SecurityToken: c.SecurityToken, AuthToken: c.AuthToken}
}
