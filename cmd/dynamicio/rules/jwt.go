package rules

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWTOptions say which JSON Web Tokens are accepted.
type JWTOptions struct {
	// Secret is the key of HS256, HS384 and HS512, at least 32 bytes.
	Secret []byte
	// PublicKey is the PEM text of a public key or a certificate: RSA (RS*,
	// PS*), ECDSA (ES*) or Ed25519 (EdDSA). Secret or PublicKey, not both.
	PublicKey []byte
	// Issuer and Audience must stand in the token, unless they are empty.
	Issuer, Audience string
	// Require lists claims that must be there, each with the values of which
	// it must have one; none: it must be there.
	Require map[string][]string
	// NoExpiry also accepts tokens that do not expire.
	NoExpiry bool
	// Leeway is how far clocks may differ.
	Leeway time.Duration
}

// JWT verifies tokens. It is safe for concurrent use.
type JWT struct {
	key     any
	parser  *jwt.Parser
	require map[string][]string
}

// minSecret is what RFC 7518, section 3.2, asks of the key of HS256.
const minSecret = 32

// NewJWT checks the options. Its errors hold no secret.
func NewJWT(o JWTOptions) (*JWT, error) {
	var (
		key     any
		methods []string
		err     error
	)
	switch {
	case len(o.Secret) > 0 && len(o.PublicKey) > 0:
		return nil, errors.New("has a secret and a public key, want one of them")
	case len(o.Secret) > 0:
		if len(o.Secret) < minSecret {
			return nil, fmt.Errorf("has a secret of %d bytes, want at least %d", len(o.Secret), minSecret)
		}
		key, methods = o.Secret, []string{"HS256", "HS384", "HS512"}
	case len(o.PublicKey) > 0:
		if key, methods, err = parsePublicKey(o.PublicKey); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("has neither a secret nor a public key")
	}
	// The methods are those of the key, whatever a token says of itself: else
	// a public key could be made to serve as the secret of HS256.
	opts := []jwt.ParserOption{jwt.WithValidMethods(methods), jwt.WithJSONNumber(), jwt.WithLeeway(o.Leeway)}
	if !o.NoExpiry {
		opts = append(opts, jwt.WithExpirationRequired())
	}
	if o.Issuer != "" {
		opts = append(opts, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		opts = append(opts, jwt.WithAudience(o.Audience))
	}
	return &JWT{key: key, parser: jwt.NewParser(opts...), require: o.Require}, nil
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
		return key, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		return key, []string{"ES" + map[int]string{256: "256", 384: "384", 521: "512"}[key.Curve.Params().BitSize]}, nil
	case ed25519.PublicKey:
		return key, []string{"EdDSA"}, nil
	}
	return nil, nil, fmt.Errorf("has a public key of type %T, which no JWT is signed with", key)
}

var errClaim = errors.New("a required claim is missing or has another value")

// verify returns the claims of a token that is good.
func (j *JWT) verify(token string) (Claims, error) {
	all := jwt.MapClaims{}
	if _, err := j.parser.ParseWithClaims(token, all, func(*jwt.Token) (any, error) { return j.key, nil }); err != nil {
		return nil, err
	}
	for name, values := range j.require {
		if !hasClaim(all[name], values) {
			return nil, errClaim
		}
	}
	claims := make(Claims, len(all))
	for name, v := range all {
		if text, ok := claimText(v); ok {
			claims[name] = text
		}
	}
	return claims, nil
}

// hasClaim reports whether a claim has one of the values, or, if it is a list,
// has one of them in it. Without values it must only be there.
func hasClaim(claim any, values []string) bool {
	if list, ok := claim.([]any); ok {
		return slices.ContainsFunc(list, func(v any) bool { return hasClaim(v, values) })
	}
	if len(values) == 0 {
		return claim != nil
	}
	text, ok := claimText(claim)
	return ok && slices.Contains(values, text)
}

// claimText is the text of a simple value.
func claimText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
