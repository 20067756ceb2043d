package rules

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dynamicio/dynamicio/namespace"
)

// Connect says what a client must present to get in, as "token" in the auth
// payload of its CONNECT: one of the tokens, or a JWT that one of the verifiers
// accepts.
type Connect struct {
	tokens [][sha256.Size]byte
	jwts   []*JWT
}

// NewConnect returns what accepts these tokens, and what these verify.
func NewConnect(tokens []string, jwts ...*JWT) *Connect {
	c := &Connect{jwts: jwts}
	for _, t := range tokens {
		c.tokens = append(c.tokens, sha256.Sum256([]byte(t)))
	}
	return c
}

// HasClaims reports whether clients present claims: whether JWTs are verified.
func (c *Connect) HasClaims() bool { return c != nil && len(c.jwts) > 0 }

// Claims are the claims of a client's JWT that have a simple value, as text.
type Claims map[string]string

// What a refused client is told. The code is for its program, the data of the
// connect_error.
var (
	errTokenMissing = refusal(kindTokenMissing, "a token is required, as auth: {token: ...}")
	errTokenInvalid = refusal(kindTokenInvalid, "the token is not accepted")
	errTokenExpired = refusal(kindTokenExpired, "the token has expired")
	errFull         = refusal(kindFull, "the namespace is full")
	errRefused      = refuse(kindNamespace, "Invalid namespace") // as where the setup refuses
)

// refusal makes one whose code is the label that it is counted under.
func refusal(k kind, text string) error {
	return &refusedError{k, &namespace.ClientError{Message: text, Data: map[string]string{"code": kindLabels[k]}}}
}

// maxToken bounds what is hashed or parsed for a client that nobody knows yet.
const maxToken = 8 << 10

// check decides about what a socket presents. claims are those of its JWT.
func (c *Connect) check(s *namespace.Socket) (claims Claims, err error) {
	if c == nil {
		return nil, nil
	}
	// Not a struct, whose fields encoding/json finds in any spelling: TOKEN is not token.
	var auth map[string]json.RawMessage
	var token string
	if s.Auth(&auth) != nil || json.Unmarshal(auth["token"], &token) != nil || token == "" {
		return nil, errTokenMissing
	}
	return c.accept(token)
}

// accept decides about a token.
func (c *Connect) accept(token string) (Claims, error) {
	if len(token) > maxToken {
		return nil, errTokenInvalid
	}
	// Digests, all of them compared: the time tells neither where two tokens
	// begin to differ, nor how long one is, nor which one it was.
	digest := sha256.Sum256([]byte(token))
	found := 0
	for i := range c.tokens {
		found |= subtle.ConstantTimeCompare(c.tokens[i][:], digest[:])
	}
	if found == 1 {
		return nil, nil
	}
	refusal := errTokenInvalid
	for _, j := range c.jwts {
		claims, err := j.verify(token)
		switch {
		case err == nil:
			return claims, nil
		case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenInvalidAudience):
			refusal = errTokenExpired // a good one otherwise, which its owner can renew
		}
	}
	return nil, refusal
}
