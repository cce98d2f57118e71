package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// passwordCost is what hashing one password takes: the second of the argon2id settings that OWASP names as equal.
var passwordCost = argonCost{memoryKB: 19 << 10, passes: 2, lanes: 1}

const (
	saltBytes   = 16
	hashBytes   = 32
	maxPassword = 256      // bytes
	maxMemoryKB = 64 << 10 // of a stored hash
	maxPasses   = 16
	hashQueue   = 64 // passwords waiting; more are refused
)

type argonCost struct {
	memoryKB, passes uint32
	lanes            uint8
}

// passwords hashes at most as many passwords at a time as there are processors, so that a storm of logins cannot take the
// memory.
type passwords struct {
	slots   chan struct{}
	waiting atomic.Int64
	cost    argonCost
}

func newPasswords() *passwords {
	return &passwords{slots: make(chan struct{}, runtime.NumCPU()), cost: passwordCost}
}

// hash gives the PHC string of a password. Errors: CodeInvalid when it is empty or too long; CodeOverload,
// CodeCancelled.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	if password == "" || len(password) > maxPassword {
		return "", faas.Errorf(faas.CodeInvalid, "password", "a password must have 1 to %d bytes", maxPassword)
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails
	sum, err := p.argon(ctx, password, salt, p.cost, hashBytes)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.cost.memoryKB, p.cost.passes, p.cost.lanes, b64(salt), b64(sum)), nil
}

// verify tells whether a password is that of a PHC string. An empty string, for a user who does not exist, costs the same
// and matches nothing. Errors: CodeOverload, CodeCancelled; internal for a string that is no hash.
func (p *passwords) verify(ctx context.Context, phc, password string) (bool, error) {
	cost, salt, want := p.cost, make([]byte, saltBytes), make([]byte, hashBytes)
	if phc != "" {
		var err error
		if cost, salt, want, err = parsePHC(phc); err != nil {
			return false, err
		}
	}
	got, err := p.argon(ctx, password, salt, cost, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && phc != "" && len(password) <= maxPassword, nil
}

// argon waits for a slot and hashes. The memory goes back to the system when the last of several is done.
func (p *passwords) argon(ctx context.Context, password string, salt []byte, cost argonCost, size uint32) ([]byte, error) {
	if p.waiting.Add(1) > hashQueue+int64(cap(p.slots)) {
		p.waiting.Add(-1)
		return nil, faas.Errorf(faas.CodeOverload, "password", "too many logins at a time; try again later")
	}
	defer func() {
		if p.waiting.Add(-1) == 0 {
			debug.FreeOSMemory()
		}
	}()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, &faas.Error{Code: faas.CodeCancelled, Message: "the request was cancelled", Err: ctx.Err()}
	}
	defer func() { <-p.slots }()
	text := []byte(password[:min(len(password), maxPassword)])
	return argon2.IDKey(text, salt, cost.passes, cost.memoryKB, cost.lanes, size), nil
}

// parsePHC reads what hash wrote, and settings of other strength within bounds.
func parsePHC(phc string) (cost argonCost, salt, sum []byte, err error) {
	bad := fmt.Errorf("a stored password hash is not argon2id in PHC form")
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return cost, nil, nil, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.memoryKB, &cost.passes, &cost.lanes); err != nil {
		return cost, nil, nil, bad
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	sum, sumErr := base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case saltErr != nil, sumErr != nil, len(salt) < 8, len(sum) < 16, len(sum) > 64,
		cost.memoryKB < 8, cost.memoryKB > maxMemoryKB, cost.passes < 1, cost.passes > maxPasses, cost.lanes < 1:
		return cost, nil, nil, bad
	}
	return cost, salt, sum, nil
}
