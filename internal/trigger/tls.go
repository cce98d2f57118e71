package trigger

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// CAField is the rule of ca_certificate: the authorities, as PEM, one of which signs the certificate of a broker. Without it these are the
// ones that the server's system trusts.
func CAField() Field { return Field{Name: "ca_certificate", Max: 64 << 10} }

// CheckCA holds ca_certificate to what it is for: certificates, of a broker that is reached by TLS. Error: CodeInvalid, field
// "event_data.<code>".
func CheckCA(code, text string, secure bool) error {
	switch {
	case text == "":
		return nil
	case !secure:
		return Bad(code, "event_data.ca_certificate is for brokers that are reached by TLS; switch that on as well")
	case !x509.NewCertPool().AppendCertsFromPEM([]byte(text)):
		return Bad(code, "event_data.ca_certificate must be certificates as PEM, from -----BEGIN CERTIFICATE----- on")
	}
	return nil
}

// TLS gives the settings for a broker at host, and ca as ca_certificate has it.
func TLS(host, ca string) *tls.Config {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if ca != "" {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM([]byte(ca)) // CheckCA has seen that there are some
	}
	return c
}

// plainly tells what to do about a certificate that is not trusted.
func plainly(err error) error {
	var bad *tls.CertificateVerificationError
	if !errors.As(err, &bad) {
		return err
	}
	return fmt.Errorf("the certificate of the broker is not trusted: give the authority that signed it as event_data.ca_certificate, and reach the broker by a name that it is for: %w", bad.Err)
}
