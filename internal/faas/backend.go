package faas

import (
	"context"
	"net"
	"strconv"
)

// Backend is an instance that serves HTTP by itself (runtime http, custom images of the HTTP type): whoever has the call
// speaks HTTP over connections to it.
type Backend interface {
	// ID tells instances apart, so that connections can be kept and used again; it is never used twice.
	ID() string
	// Dial opens a connection to the port that the function listens on.
	Dial(ctx context.Context) (net.Conn, error)
	// Header is what every request of this call carries beside its own header, which it replaces: see CallHeader.
	Header() map[string]string
}

// CredentialHeader is what a function which serves HTTP finds beside CallHeader where its owner wants so: the credentials of its
// agency (FunctionGraph reference 5.5, enable_auth_in_header).
func CredentialHeader(c Credentials) map[string]string {
	if c.AuthToken == "" {
		return nil
	}
	return map[string]string{
		"X-Cff-Auth-Token": c.AuthToken, "X-Cff-Security-Access-Key": c.AccessKey, "X-Cff-Security-Secret-Key": c.SecretKey,
		"X-Cff-Security-Token": c.SecurityToken,
	}
}

// CallHeader is the header, by canonical name, that tells a function which serves HTTP about a call (FunctionGraph reference
// 5.5). Every request has it, whether it came as an event or through a gateway.
func CallHeader(region, project, pkg, name, version string, memoryMB, timeoutSec int, requestID string) map[string]string {
	return map[string]string{
		"X-Cff-Request-Id": requestID, "X-Cff-Memory": strconv.Itoa(memoryMB), "X-Cff-Timeout": strconv.Itoa(timeoutSec),
		"X-Cff-Func-Version": version, "X-Cff-Func-Name": name, "X-Cff-Project-Id": project, "X-Cff-Package": pkg, "X-Cff-Region": region,
	}
}
