package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
)

// loginReader reads "connect" of a rule.
type loginReader struct {
	*reader
	tokens     []string
	tokensHere *yaml.Node
	tokensFile reference
	tokensEnv  reference
	jwts       []*rules.JWT
}

func (r *loginReader) fields() []field {
	return []field{
		{key: "tokens", sample: `["change me: 16 characters or more, and random"]`, read: r.readTokens, help: "one of these"},
		{key: "tokens-file", instead: true, read: r.tokensFile.read(r.reader), help: "the same from a file, relative to this one, with a token a line"},
		{key: "tokens-env", instead: true, read: r.tokensEnv.read(r.reader), help: "the same from an environment variable, with commas between them"},
		{key: "jwt", read: r.readJWT, fields: newJWTReader(r.reader).fields(), help: "a JSON Web Token; or a list of such mappings, of which one must fit, as while keys change"},
	}
}

// read reads what a client must present.
func (r *loginReader) read(path string, n *yaml.Node) *rules.Connect {
	before := len(r.errs)
	r.mapping(path, n, r.fields())
	if len(r.errs) > before {
		return nil
	}
	sources := 0
	for _, at := range []*yaml.Node{r.tokensHere, r.tokensFile.at, r.tokensEnv.at} {
		if at != nil {
			sources++
		}
	}
	switch {
	case sources == 0 && len(r.jwts) == 0:
		r.fail(n, path, "asks for nothing, want tokens or jwt")
	case sources > 1:
		r.fail(n, path, "has tokens in two places, want one of them")
	case r.tokensFile.at != nil:
		text, _ := r.contents(r.tokensFile)
		r.splitTokens(r.tokensFile, text, "\n")
	case r.tokensEnv.at != nil:
		text, _ := r.variable(r.tokensEnv)
		r.splitTokens(r.tokensEnv, text, ",")
	}
	return rules.NewConnect(r.tokens, r.jwts...)
}

func (r *loginReader) readTokens(path string, n *yaml.Node) {
	r.tokensHere = n
	if v, ok := r.resolve(path, n); ok && v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
		r.fail(n, path, "is empty, so that no token is accepted; want a list of them")
	}
	r.sequence(path, n, func(path string, n *yaml.Node) {
		if token, ok := r.secretText(path, n); ok {
			r.tokens = append(r.tokens, token)
			r.strength(n, path, token)
		}
	})
}

// splitTokens takes the tokens of another place. An empty place has been told of.
func (r *loginReader) splitTokens(ref reference, text, separator string) {
	for token := range strings.SplitSeq(text, separator) {
		if token = strings.TrimSpace(token); token != "" {
			r.tokens = append(r.tokens, token)
			r.strength(ref.at, ref.path, token)
		}
	}
	if text != "" && len(r.tokens) == 0 {
		r.fail(ref.at, ref.path, "has no token in it")
	}
}

// minToken is from how many characters on a token is not called short: a random one of
// so many letters and digits has more than 80 bits.
const minToken = 16

// strength notes a token that is short.
func (r *loginReader) strength(n *yaml.Node, path, token string) {
	if count := utf8.RuneCountInString(token); count < minToken {
		r.weak = append(r.weak, r.wrong(n, path, fmt.Sprintf("has a token of %d characters, which can be guessed; want %d or more, and random", count, minToken)))
	}
}

func (r *loginReader) readJWT(path string, n *yaml.Node) {
	one := func(path string, n *yaml.Node) {
		if j := newJWTReader(r.reader).read(path, n); j != nil {
			r.jwts = append(r.jwts, j)
		}
	}
	if v, ok := r.resolve(path, n); ok && v.Kind == yaml.SequenceNode {
		r.sequence(path, n, one)
		return
	}
	one(path, n)
}

// jwtReader reads which JSON Web Tokens are accepted.
type jwtReader struct {
	*reader
	options       rules.JWTOptions
	requireExpiry bool
	hmac          secret
	publicKey     reference
}

func newJWTReader(r *reader) *jwtReader { return &jwtReader{reader: r, requireExpiry: true} }

func (r *jwtReader) fields() []field {
	fields := r.hmac.fields(r.reader, "secret", "the key of HS256, HS384 and HS512, at least 32 bytes and not blank", `"change me: 32 bytes or more, and random"`)
	return append(fields,
		field{key: "public-key-file", instead: true, read: r.publicKey.read(r.reader), help: "instead of a secret: a PEM file with a public key or a certificate (RSA from 2048 bits, P-256, P-384, P-521 or Ed25519)"},
		field{key: "issuer", sample: "https://login.example.com", read: r.text(&r.options.Issuer), help: "must be its iss (default: anybody)"},
		field{key: "audience", sample: "chat", read: r.text(&r.options.Audience), help: "must be in its aud (default: any)"},
		field{key: "require", sample: "{role: [admin, member], email_verified: true}", read: r.readRequired, help: "claims that must have a value, or one of several; a list has to have one in it; [] is any"},
		field{key: "require-expiry", sample: "true", read: r.boolean(&r.requireExpiry), help: "refuse tokens that never expire"},
		field{key: "leeway", sample: "5s", read: r.duration(&r.options.Leeway), help: "how far clocks may differ (default: 0s)"},
	)
}

// read reads them, nil if something is wrong.
func (r *jwtReader) read(path string, n *yaml.Node) *rules.JWT {
	before := len(r.errs)
	r.mapping(path, n, r.fields())
	if len(r.errs) > before {
		return nil
	}
	if r.hmac.sources() == 0 && r.publicKey.at == nil {
		r.fail(n, path, "has no key, want secret, secret-file, secret-env or public-key-file")
		return nil
	}
	if r.hmac.sources() > 0 {
		value, ok := r.hmac.get(r.reader, path, n)
		if !ok {
			return nil
		}
		r.options.Secret = []byte(value)
	}
	if r.publicKey.at != nil {
		value, ok := r.contents(r.publicKey)
		if !ok {
			return nil
		}
		r.options.PublicKey = []byte(value)
	}
	r.options.NoExpiry = !r.requireExpiry
	j, err := rules.NewJWT(r.options)
	if err != nil {
		r.fail(n, path, "%v", err)
		return nil
	}
	return j
}

// readRequired reads the claims that a token must have.
func (r *jwtReader) readRequired(path string, n *yaml.Node) {
	r.options.Require = make(map[string][]string)
	r.pairs(path, n, "a mapping of claims to values", func(key, value *yaml.Node) {
		values := []string{}
		r.sequence(join(path, quoteKey(key.Value)), value, func(path string, n *yaml.Node) {
			if v, ok := r.scalar(path, n, "a value"); ok {
				values = append(values, v.Value)
			}
		})
		r.options.Require[key.Value] = values
	})
}
