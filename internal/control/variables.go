package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// ParseVariables reads user data: a JSON object as text, "" for none. Values are strings; a number, true or false is taken
// as the text it is written with, as clients that build the object by hand send those. Nothing else is taken, and no name
// twice. Names are those of process variables.
//
// The field is "user_data" or "encrypted_user_data". Errors, all CodeInvalid: the field itself; field + ".items" for more
// than faas.MaxUserDataItems; field + ".size" for more than faas.MaxUserDataBytes of text.
func ParseVariables(field, text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > faas.MaxUserDataBytes {
		return nil, faas.Errorf(faas.CodeInvalid, field+".size", "%s has %d bytes, over the limit of %d", field, len(text), faas.MaxUserDataBytes)
	}
	bad := func(format string, args ...any) (map[string]string, error) {
		return nil, faas.Errorf(faas.CodeInvalid, field, "%s "+format, append([]any{field}, args...)...)
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return bad("must be a JSON object of strings, written as a string")
	}
	vars := map[string]string{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return bad("is not JSON: %v", err)
		}
		key := name.(string) // the decoder lets nothing else stand before a colon
		value, err := dec.Token()
		if err != nil {
			return bad("is not JSON: %v", err)
		}
		if !variableName.MatchString(key) {
			return bad("has the name %.80q; a name starts with a letter or '_' and has letters, digits and '_' only", key)
		}
		if _, twice := vars[key]; twice {
			return bad("has the name %q twice", key)
		}
		switch v := value.(type) {
		case string:
			vars[key] = v
		case bool, json.Number:
			vars[key] = fmt.Sprint(v)
		default:
			return bad("must hold strings, and %q does not", key)
		}
		if bytes.IndexByte([]byte(vars[key]), 0) >= 0 {
			return bad("has a zero byte in %q", key)
		}
	}
	if _, err := dec.Token(); err != nil || dec.InputOffset() != int64(len(bytes.TrimRight([]byte(text), " \t\r\n"))) {
		return bad("must be one JSON object and nothing behind it")
	}
	if len(vars) > faas.MaxUserDataItems {
		return nil, faas.Errorf(faas.CodeInvalid, field+".items", "%s has %d items, over the limit of %d", field, len(vars), faas.MaxUserDataItems)
	}
	return vars, nil
}

// setVariables checks user data and seals what is to be kept secret. Plain and encrypted data have their limits apart.
//
// An empty value for a name that is sealed already keeps the secret: that is how the secrets are shown, so a client that
// reads a function and writes it back destroys nothing.
func (s *Functions) setVariables(f *faas.Function, set Settings) error {
	if set.UserData != nil {
		if _, err := ParseVariables("user_data", *set.UserData); err != nil {
			return err
		}
		f.Spec.UserData = *set.UserData
	}
	if set.EncryptedUserData == nil {
		return nil
	}
	secrets, err := ParseVariables("encrypted_user_data", *set.EncryptedUserData)
	if err != nil {
		return err
	}
	before, err := s.unseal(f)
	if err != nil {
		return err
	}
	for name, value := range secrets {
		if value == "" {
			secrets[name] = before[name]
		}
	}
	if len(secrets) == 0 {
		f.Spec.SealedData, f.Spec.SealedKeys = nil, nil
		return nil
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return fmt.Errorf("encode secrets: %w", err)
	}
	f.Spec.SealedData = s.cfg.Sealer.Seal(sealLabel(f), plain)
	f.Spec.SealedKeys = slices.Sorted(maps.Keys(secrets))
	return nil
}

// Variables gives the user data of a function, plain and unsealed together, for the instance that is to run it. A secret
// hides a plain value of the same name.
func (s *Functions) Variables(f *faas.Function) (map[string]string, error) {
	vars, err := ParseVariables("user_data", f.Spec.UserData)
	if err != nil {
		return nil, err
	}
	secrets, err := s.unseal(f)
	if err != nil {
		return nil, err
	}
	if vars == nil {
		vars = map[string]string{}
	}
	maps.Copy(vars, secrets)
	return vars, nil
}

func (s *Functions) unseal(f *faas.Function) (map[string]string, error) {
	if f.Spec.SealedData == nil {
		return nil, nil
	}
	plain, err := s.cfg.Sealer.Open(sealLabel(f), f.Spec.SealedData)
	if err != nil {
		return nil, fmt.Errorf("unseal user data of function %s: %w", f.ID, err)
	}
	secrets := map[string]string{}
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return nil, fmt.Errorf("decode secrets of function %s: %w", f.ID, err)
	}
	return secrets, nil
}

// sealLabel binds secrets to their function: sealed data put under another one does not open.
func sealLabel(f *faas.Function) string { return "user_data:" + f.ID }
