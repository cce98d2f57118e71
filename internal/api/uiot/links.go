package uiot

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// filePrefix begins the addresses of packages (seed "uiot-edge-function-api", CodeURL).
const filePrefix = "/data/file/edge/function/"

const (
	fileIssuer = "uiot stack-user file"
	// LinkLife is how long an address of a package is good.
	LinkLife = 24 * time.Hour
)

// Links makes addresses of packages that are signed and expire. Make one with NewLinks.
type Links struct {
	key []byte
	now func() time.Time
}

// NewLinks makes Links that sign with a key of at least 32 bytes. now may be nil for time.Now.
func NewLinks(key []byte, now func() time.Time) *Links {
	if now == nil {
		now = time.Now
	}
	return &Links{key, now}
}

type linkClaims struct {
	FileName string
	Digest   string
	Size     int64
	Program  bool `json:",omitempty"` // FileName is whole
	jwt.RegisteredClaims
}

// Path is where the package of a function can be had for LinkLife, without scheme and host.
func (l *Links) Path(f *faas.Function) (string, error) {
	text, err := l.sign(linkClaims{FileName: filePrefix + f.Name, Digest: f.Code.Digest, Size: f.Code.Size})
	return filePrefix + f.Name + ".zip?Signature=" + text, err
}

// ProgramPath is the same for a program of a release of the gateways' agent.
func (l *Links) ProgramPath(version string, p faas.ReleaseProgram) (string, error) {
	path := filePrefix + "hanshu-edge-" + version + "-" + p.Arch
	text, err := l.sign(linkClaims{FileName: path, Digest: p.Digest, Size: p.Size, Program: true})
	return path + "?Signature=" + text, err
}

func (l *Links) sign(claims linkClaims) (string, error) {
	claims.RegisteredClaims = jwt.RegisteredClaims{Issuer: fileIssuer, ExpiresAt: jwt.NewNumericDate(l.now().Add(LinkLife))}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(l.key)
}

// open gives what an address leads to. Error: CodeForbidden, field "Signature".
func (l *Links) open(name, signature string) (linkClaims, error) {
	var claims linkClaims
	_, err := jwt.ParseWithClaims(signature, &claims, func(*jwt.Token) (any, error) { return l.key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithTimeFunc(l.now), jwt.WithExpirationRequired(), jwt.WithIssuer(fileIssuer))
	file := claims.FileName
	if !claims.Program {
		file += ".zip"
	}
	if err != nil || file != filePrefix+name {
		return claims, faas.Errorf(faas.CodeForbidden, "Signature", "the address is not signed by this server, or has expired; ask for the function anew")
	}
	return claims, nil
}

// download answers the bytes whose MD5 and size the function's listing tells. A range from an offset to the end is given, so that
// a download that broke can go on.
func (a *API) download(w http.ResponseWriter, r *http.Request) error {
	claims, err := a.Links.open(r.PathValue("file"), r.URL.Query().Get("Signature"))
	if err != nil {
		return err
	}
	from, partial := offsetOf(r.Header.Get("Range"), claims.Size)
	if tag := r.Header.Get("If-Range"); tag != "" && tag != strconv.Quote(claims.Digest) {
		from, partial = 0, false
	}
	body, err := a.Packages.Open(r.Context(), claims.Digest)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.CopyN(io.Discard, body, from); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", strconv.Quote(claims.Digest))
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Length", strconv.FormatInt(claims.Size-from, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, claims.Size-1, claims.Size))
	}
	w.WriteHeader(status)
	if _, err := io.Copy(w, body); err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: cut it, so that nobody takes it for whole
	}
	return nil
}

// offsetOf reads "bytes=N-". Anything else is the whole.
func offsetOf(text string, size int64) (from int64, partial bool) {
	text, ok := strings.CutPrefix(text, "bytes=")
	text, end := strings.CutSuffix(text, "-")
	from, err := strconv.ParseInt(text, 10, 64)
	if !ok || !end || err != nil || from < 0 || from >= size {
		return 0, false
	}
	return from, true
}

// urlOf is the whole address of a function's package for the client of a request.
func (a *API) urlOf(r *http.Request, f *faas.Function) (string, error) {
	if f.Code.Digest == "" || f.Code.Kind == faas.KindImage {
		return "", nil
	}
	path, err := a.Links.Path(f)
	return baseURL(r) + path, err
}

// sumsOf gives the checksum and size of a function's code, as the dialect has them.
func (a *API) sumsOf(ctx context.Context, f *faas.Function) (string, error) {
	sums, err := a.Placed.Sums(ctx, f)
	return cmp.Or(sums.MD5, ""), err
}
