package rules

import (
	"encoding/json"
	"errors"
	"regexp"
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
	demands []string // of its options, for WidenedSince
}

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
		if err := checkSecret(o.Secret); err != nil {
			return nil, err
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
	opts := []jwt.ParserOption{jwt.WithValidMethods(methods), jwt.WithJSONNumber(), jwt.WithStrictDecoding(), jwt.WithLeeway(o.Leeway)}
	if !o.NoExpiry {
		opts = append(opts, jwt.WithExpirationRequired())
	}
	if o.Issuer != "" {
		opts = append(opts, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		opts = append(opts, jwt.WithAudience(o.Audience))
	}
	return &JWT{key: key, parser: jwt.NewParser(opts...), require: o.Require, demands: o.demands()}, nil
}

var (
	errClaim = errors.New("a required claim is missing or has another value")
	errForm  = errors.New("not three parts in base64url")
	errCrit  = errors.New("the header has crit, and nothing in it is understood here")
)

// form is what a token is made of. Decoders of base64 pass over line breaks.
var form = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// verify returns the claims of a token that is good.
func (j *JWT) verify(token string) (Claims, error) {
	if !form.MatchString(token) {
		return nil, errForm
	}
	all := jwt.MapClaims{}
	if _, err := j.parser.ParseWithClaims(token, all, j.keyFor); err != nil {
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

// keyFor is asked for the key once the header has been read.
func (j *JWT) keyFor(t *jwt.Token) (any, error) {
	// RFC 7515, section 4.1.11: who does not understand all that crit names refuses the token.
	if _, critical := t.Header["crit"]; critical {
		return nil, errCrit
	}
	return j.key, nil
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
