package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// authorityLife is how long the server's own authority is good: gateways keep its certificate in the file they were enrolled with.
const authorityLife = 20 * 365 * 24 * time.Hour

// certificateLife is that of a certificate that is made at each start.
const certificateLife = 2 * 365 * 24 * time.Hour

// mqttTLS gives the settings of the broker's listener, and what gateways must trust where it is no authority of their system.
func (s *Server) mqttTLS() (*tls.Config, string, error) {
	cfg := s.cfg.MQTT
	if cfg.Cert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
		if err != nil {
			return nil, "", fmt.Errorf("--mqtt-cert: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, "", nil
	}
	ca, key, text, err := ensureAuthority(filepath.Join(s.cfg.DataDir, "gateways-ca.pem"))
	if err != nil {
		return nil, "", err
	}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, at := range []string{cfg.URL, s.cfg.PublicURL, s.admin.Endpoint} {
		if u, err := url.Parse(at); err == nil && u.Hostname() != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	pair, err := certificate(ca, key, hosts)
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, text, err
}

// ensureAuthority reads the authority's certificate and key from a file, and makes both where there is none.
func ensureAuthority(file string) (*x509.Certificate, *ecdsa.PrivateKey, string, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if data, err = makeAuthority(); err != nil {
			return nil, nil, "", err
		}
		err = writeWhole(file, data)
	}
	if err != nil {
		return nil, nil, "", err
	}
	first, rest := pem.Decode(data)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil {
		return nil, nil, "", fmt.Errorf("%s does not hold a certificate and a key; put it back from a backup", file)
	}
	ca, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", file, err)
	}
	key, err := x509.ParseECPrivateKey(second.Bytes)
	return ca, key, string(pem.EncodeToMemory(first)), err
}

// writeWhole leaves a whole file for its owner alone, or none.
func writeWhole(file string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

func template(name string, life time.Duration) (*x509.Certificate, error) {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	return &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(life), BasicConstraintsValid: true,
	}, err
}

// makeAuthority begins its time in 1970: the clock of a gateway may stand there.
func makeAuthority() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t, err := template("hanshu gateways", authorityLife)
	if err != nil {
		return nil, err
	}
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
	made, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = errors.Join(pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: made}), pem.Encode(&out, &pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
	return out.Bytes(), err
}

func certificate(ca *x509.Certificate, caKey *ecdsa.PrivateKey, hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t, err := template("hanshu", certificateLife)
	if err != nil {
		return tls.Certificate{}, err
	}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	made, err := x509.CreateCertificate(rand.Reader, t, ca, &key.PublicKey, caKey)
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}, err
}
