package auth

import (
	"context"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// proofClaim holds the Token that a web token stands for.
const proofClaim = "tok"

const webTokenPurpose = "web tokens"

// WebToken writes a token as a JSON web token (HS256) with the claims given beside its own. It is good as Authorization, as it is, for as
// long as the token.
func (a *Auth) WebToken(t Token, claims map[string]any) (string, error) {
	key, err := a.sealer.Derive(webTokenPurpose)
	if err != nil {
		return "", err
	}
	all := jwt.MapClaims{"exp": t.ExpiresAt.Unix(), proofClaim: t.Text}
	for name, value := range claims {
		all[name] = value
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString(key)
}

// webTokenIn finds a bare web token in Authorization: three parts, the first a JSON object in base64.
func webTokenIn(r *http.Request) (string, bool) {
	text := r.Header.Get("Authorization")
	return text, strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2 && !strings.Contains(text, " ")
}

// byWebToken proves a web token. Error: CodeUnauthenticated.
func (a *Auth) byWebToken(ctx context.Context, text string) (faas.Principal, error) {
	const fail = "the token is wrong or has expired"
	if len(text) > maxTokenText {
		return faas.Principal{}, refuse(fail)
	}
	key, err := a.sealer.Derive(webTokenPurpose)
	if err != nil {
		return faas.Principal{}, err
	}
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithTimeFunc(a.now), jwt.WithExpirationRequired())
	proof, ok := claims[proofClaim].(string)
	if err != nil || !ok {
		return faas.Principal{}, refuse(fail)
	}
	e, err := a.verify(ctx, proof)
	return e.principal, err
}
