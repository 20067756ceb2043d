package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// authority is the one that signs all certificates of the process: programs read
// their system's roots once, so that a second one would not be trusted.
var authority = sync.OnceValues(func() (*signer, error) {
	return newSigner(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
})

// signer is a certificate with its key.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newSigner(template *x509.Certificate, by *signer) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, parentKey := template, key
	if by != nil {
		parent, parentKey = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &signer{cert, key}, err
}

// TLSServer is a server that speaks TLS on one port, and plainly at Addr, for the test.
type TLSServer struct {
	*Server
	// TLSAddr is host:port where it speaks TLS, under a certificate for that address
	// alone, and not for the name localhost.
	TLSAddr string
}

// StartTLS starts a server with a certificate that this process trusts: the variable
// SSL_CERT_FILE names its authority until the test ends. It must come before
// anything else in the process asks for the roots of the system, and so
// the test is not a parallel one. The client shows no certificate.
func StartTLS(tb testing.TB, args ...string) *TLSServer {
	tb.Helper()
	ca, err := authority()
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	own, err := newSigner(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	dir := tb.TempDir()
	caFile, certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	key, err := x509.MarshalPKCS8PrivateKey(own.key)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	for name, block := range map[string]*pem.Block{
		caFile:   {Type: "CERTIFICATE", Bytes: ca.cert.Raw},
		certFile: {Type: "CERTIFICATE", Bytes: own.cert.Raw},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatalf("redistest: %v", err)
		}
	}
	tb.Setenv("SSL_CERT_FILE", caFile)
	addr := freeAddr(tb)
	_, port, _ := net.SplitHostPort(addr)
	s := Start(tb, append([]string{"--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", caFile, "--tls-auth-clients", "no"}, args...)...)
	return &TLSServer{s, addr}
}

// URL is the address that speaks TLS as rediss://user:password@host:port.
func (s *TLSServer) URL(user, password string) string {
	return fmt.Sprintf("rediss://%s:%s@%s", user, password, s.TLSAddr)
}
