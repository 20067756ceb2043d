package rules

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// What RFC 7518 asks of keys: section 3.2 of that of HS256, in bytes, and 3.3 of
// those of RSA, in bits.
const (
	minSecret = 32
	minRSA    = 2048
)

// minDistinct is how many different bytes are in a secret that was not made by leaning on a key.
// Of 32 random digits there are fewer once in a billion times.
const minDistinct = 5

// checkSecret refuses what can be guessed by its looks. Its errors hold nothing of it.
func checkSecret(secret []byte) error {
	if len(secret) < minSecret {
		return fmt.Errorf("has a secret of %d bytes, want at least %d", len(secret), minSecret)
	}
	if n := len(bytes.TrimSpace(secret)); n < minSecret {
		return fmt.Errorf("has a secret of %d bytes with blanks around it, want at least %d", n, minSecret)
	}
	distinct := make(map[byte]bool)
	for _, b := range secret {
		distinct[b] = true
	}
	if len(distinct) < minDistinct {
		return errors.New("has a secret that repeats a few characters, want a random one")
	}
	return nil
}

// parsePublicKey reads the first key or certificate of a PEM text.
func parsePublicKey(text []byte) (key any, methods []string, err error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, nil, errors.New("has a public key that is no PEM text")
	}
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("has a certificate that is none: %w", err)
		}
		key = cert.PublicKey
	case "PUBLIC KEY":
		if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, nil, fmt.Errorf("has a public key that is none: %w", err)
		}
	case "RSA PUBLIC KEY":
		if key, err = x509.ParsePKCS1PublicKey(block.Bytes); err != nil {
			return nil, nil, fmt.Errorf("has a public key that is none: %w", err)
		}
	default:
		return nil, nil, fmt.Errorf("has a %.40q where a public key is wanted", block.Type)
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSA {
			return nil, nil, fmt.Errorf("has an RSA key of %d bits, want at least %d", n, minRSA)
		}
		return key, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		curve := key.Curve.Params().Name
		method, ok := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[curve]
		if !ok {
			return nil, nil, fmt.Errorf("has an ECDSA key on the curve %s, want P-256, P-384 or P-521", curve)
		}
		return key, []string{method}, nil
	case ed25519.PublicKey:
		return key, []string{"EdDSA"}, nil
	}
	return nil, nil, fmt.Errorf("has a public key of type %T, which no JWT is signed with", key)
}
