package rules

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	secretKey = []byte("0123456789abcdef0123456789abcdef")
	soon      = time.Now().Add(time.Hour).Unix()
)

// sign makes a token.
func sign(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// publicPEM is a public key as it stands in a file.
func publicPEM(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func newJWT(t testing.TB, o JWTOptions) *JWT {
	t.Helper()
	j, err := NewJWT(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestConnect_Tokens(t *testing.T) {
	longest := strings.Repeat("x", maxToken)
	c := NewConnect([]string{"first", "second", longest, longest + "x"})
	for token, want := range map[string]error{
		"first": nil, "second": nil, "firs": errTokenInvalid, "first ": errTokenInvalid, "third": errTokenInvalid,
		longest: nil, longest + "x": errTokenInvalid, // which would have to be hashed
	} {
		if _, err := c.accept(token); !errors.Is(err, want) {
			t.Errorf("%.20s: %v, want %v", token, err, want)
		}
	}
}

// What a token says of itself, and who signed it, is looked at in full.
func TestConnect_JWT(t *testing.T) {
	o := JWTOptions{
		Secret: secretKey, Issuer: "login", Audience: "chat",
		Require: map[string][]string{"role": {"admin", "member"}, "team": nil},
	}
	c := NewConnect([]string{"static"}, newJWT(t, o))
	good := func(change func(jwt.MapClaims)) jwt.MapClaims {
		claims := jwt.MapClaims{
			"iss": "login", "aud": []string{"other", "chat"}, "exp": soon, "sub": "anna", "role": "admin", "team": 7, "deep": []int{1},
		}
		if change != nil {
			change(claims)
		}
		return claims
	}
	with := func(name string, value any) jwt.MapClaims {
		return good(func(c jwt.MapClaims) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		})
	}
	for _, test := range []struct {
		name   string
		method jwt.SigningMethod
		key    any
		claims jwt.MapClaims
		want   error
	}{
		{"good", jwt.SigningMethodHS256, secretKey, good(nil), nil},
		{"good, in another length", jwt.SigningMethodHS512, secretKey, good(nil), nil},
		{"a list with the value in it", jwt.SigningMethodHS256, secretKey, with("role", []string{"guest", "member"}), nil},
		{"another key", jwt.SigningMethodHS256, []byte("another key of more than 32 bytes."), good(nil), errTokenInvalid},
		{"not signed", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good(nil), errTokenInvalid},
		{"expired", jwt.SigningMethodHS256, secretKey, with("exp", time.Now().Add(-time.Minute).Unix()), errTokenExpired},
		{"expired, of another key", jwt.SigningMethodHS256, []byte("another key of more than 32 bytes."), with("exp", 1), errTokenInvalid},
		{"never expires", jwt.SigningMethodHS256, secretKey, with("exp", nil), errTokenInvalid},
		{"not valid yet", jwt.SigningMethodHS256, secretKey, with("nbf", soon), errTokenInvalid},
		{"another issuer", jwt.SigningMethodHS256, secretKey, with("iss", "evil"), errTokenInvalid},
		{"no issuer", jwt.SigningMethodHS256, secretKey, with("iss", nil), errTokenInvalid},
		{"another audience", jwt.SigningMethodHS256, secretKey, with("aud", "mail"), errTokenInvalid},
		{"no audience", jwt.SigningMethodHS256, secretKey, with("aud", nil), errTokenInvalid},
		{"another role", jwt.SigningMethodHS256, secretKey, with("role", "guest"), errTokenInvalid},
		{"too long", jwt.SigningMethodHS256, secretKey, with("long", strings.Repeat("x", maxToken)), errTokenInvalid},
		{"no role", jwt.SigningMethodHS256, secretKey, with("role", nil), errTokenInvalid},
		{"no team", jwt.SigningMethodHS256, secretKey, with("team", nil), errTokenInvalid},
		{"an empty list of teams", jwt.SigningMethodHS256, secretKey, with("team", []string{}), errTokenInvalid},
	} {
		claims, err := c.accept(sign(t, test.method, test.key, test.claims))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err == nil && (claims["sub"] != "anna" || claims["team"] != "7" || claims["deep"] != "") {
			t.Errorf("%s: claims %v", test.name, claims)
		}
	}
	if _, err := c.accept("static"); err != nil {
		t.Errorf("a static token beside: %v", err)
	}
	// Only who could go on with a newer token is told that this one has expired.
	for claim, other := range map[string]any{"iss": "evil", "aud": "mail"} {
		claims := with(claim, other)
		claims["exp"] = 1
		if _, err := c.accept(sign(t, jwt.SigningMethodHS256, secretKey, claims)); !errors.Is(err, errTokenInvalid) {
			t.Errorf("expired, and of another %s: %v", claim, err)
		}
	}
	o.NoExpiry = true
	if _, err := newJWT(t, o).verify(sign(t, jwt.SigningMethodHS256, secretKey, with("exp", nil))); err != nil {
		t.Errorf("tokens that never expire are allowed, and %v", err)
	}
}

// Clocks may differ as much as is said, and no more.
func TestJWT_Leeway(t *testing.T) {
	minuteAgo := jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}
	for leeway, good := range map[time.Duration]bool{0: false, 30 * time.Second: false, time.Hour: true} {
		j := newJWT(t, JWTOptions{Secret: secretKey, Leeway: leeway})
		if _, err := j.verify(sign(t, jwt.SigningMethodHS256, secretKey, minuteAgo)); (err == nil) != good {
			t.Errorf("a minute late with %v: %v", leeway, err)
		}
	}
}

// Without JWTs there are no claims.
func TestConnect_HasClaims(t *testing.T) {
	var nobody *Connect
	j := newJWT(t, JWTOptions{Secret: secretKey})
	if nobody.HasClaims() || NewConnect([]string{"a"}).HasClaims() || !NewConnect(nil, j).HasClaims() {
		t.Error("claims are where there is no JWT, or not where there is one")
	}
}

// While keys change, both are good; which one a token is for does not matter.
func TestConnect_SeveralJWTs(t *testing.T) {
	newKey := []byte("another key of more than 32 bytes.")
	c := NewConnect(nil, newJWT(t, JWTOptions{Secret: secretKey, Issuer: "a"}), newJWT(t, JWTOptions{Secret: newKey, Issuer: "b"}))
	for _, test := range []struct {
		key  []byte
		iss  string
		exp  int64
		want error
	}{
		{secretKey, "a", soon, nil}, {newKey, "b", soon, nil}, {secretKey, "b", soon, errTokenInvalid}, {newKey, "a", soon, errTokenInvalid},
		{secretKey, "a", 1, errTokenExpired}, {newKey, "b", 1, errTokenExpired}, {newKey, "a", 1, errTokenInvalid},
	} {
		token := sign(t, jwt.SigningMethodHS256, test.key, jwt.MapClaims{"exp": test.exp, "iss": test.iss})
		if _, err := c.accept(token); !errors.Is(err, test.want) {
			t.Errorf("%s, %.7s, %d: %v, want %v", test.iss, test.key, test.exp, err, test.want)
		}
	}
}

// A key is used with its own methods: a public one is not a secret.
func TestJWT_PublicKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{"exp": soon}
	ec := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	ecKey, ec256, ec521 := ec(elliptic.P384()), ec(elliptic.P256()), ec(elliptic.P521())
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &ec256.PublicKey, ec256)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		text   []byte
		method jwt.SigningMethod
		key    any
	}{
		{"RSA", publicPEM(t, &rsaKey.PublicKey), jwt.SigningMethodRS256, rsaKey},
		{"RSA-PSS", publicPEM(t, &rsaKey.PublicKey), jwt.SigningMethodPS256, rsaKey},
		{"RSA in PKCS 1", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)}), jwt.SigningMethodRS512, rsaKey},
		{"ECDSA", publicPEM(t, &ecKey.PublicKey), jwt.SigningMethodES384, ecKey},
		{"ECDSA 256", publicPEM(t, &ec256.PublicKey), jwt.SigningMethodES256, ec256},
		{"ECDSA 521", publicPEM(t, &ec521.PublicKey), jwt.SigningMethodES512, ec521},
		{"a certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), jwt.SigningMethodES256, ec256},
		{"Ed25519", publicPEM(t, edPublic), jwt.SigningMethodEdDSA, edKey},
	} {
		text := test.text
		j := newJWT(t, JWTOptions{PublicKey: text})
		if _, err := j.verify(sign(t, test.method, test.key, claims)); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := j.verify(sign(t, jwt.SigningMethodHS256, text, claims)); err == nil {
			t.Errorf("%s: the public key has served as a secret", test.name)
		}
	}
}

// A token is three parts in base64url and nothing else, and what its header calls critical must be understood.
func TestJWT_IsStrict(t *testing.T) {
	j := newJWT(t, JWTOptions{Secret: secretKey})
	claims := jwt.MapClaims{"exp": soon}
	good := sign(t, jwt.SigningMethodHS256, secretKey, claims)
	if _, err := j.verify(good); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"a line break behind": good + "\n", "a carriage return": good + "\r", "a blank before": " " + good, "padding": good + "=",
		"a line break within": good[:10] + "\n" + good[10:], "a fourth part": good + ".x", "no signature": good[:strings.LastIndex(good, ".")+1],
		"bits that nobody reads": good[:len(good)-1] + next(good[len(good)-1:]),
	} {
		if _, err := j.verify(token); err == nil {
			t.Errorf("%s is taken for a token", name)
		}
	}
	for _, crit := range []any{[]string{"b64"}, []string{"exp"}, []string{}, nil, "x"} {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
		token.Header["crit"] = crit
		text, err := token.SignedString(secretKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.verify(text); !errors.Is(err, errCrit) {
			t.Errorf("crit %v: %v", crit, err)
		}
	}
}

// next is the character behind one of base64url, which differs in bits that a signature of 32 bytes does not use.
func next(c string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.Index(alphabet, c)
	return alphabet[i^1 : i^1+1]
}

func TestNewJWT_SaysWhatIsWrong(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaOf := func(bits uint) []byte {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return publicPEM(t, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	for _, test := range []struct {
		o    JWTOptions
		want string
	}{
		{JWTOptions{}, "neither"},
		{JWTOptions{Secret: secretKey, PublicKey: []byte("x")}, "one of them"},
		{JWTOptions{Secret: []byte("hunter2")}, "at least 32"},
		{JWTOptions{Secret: secretKey[:31]}, "31 bytes, want at least 32"},
		{JWTOptions{Secret: []byte(strings.Repeat(" ", 32))}, "blanks"},
		{JWTOptions{Secret: []byte("\t0123456789abcdef0123456789abcde\n ")}, "31 bytes with blanks around it, want at least 32"},
		{JWTOptions{Secret: []byte(strings.Repeat("ab", 32))}, "random"},
		{JWTOptions{PublicKey: publicPEM(t, &p224.PublicKey)}, "P-224, want P-256"},
		{JWTOptions{PublicKey: rsaOf(512)}, "512 bits, want at least 2048"},
		{JWTOptions{PublicKey: rsaOf(1024)}, "1024 bits, want at least 2048"},
		{JWTOptions{PublicKey: rsaOf(2047)}, "2047 bits, want at least 2048"},
		{JWTOptions{PublicKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: big.NewInt(1<<40 + 1), E: 3})})}, "41 bits"},
		{JWTOptions{PublicKey: []byte("x")}, "PEM"},
		{JWTOptions{PublicKey: private}, "PRIVATE KEY"},
		{JWTOptions{PublicKey: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})}, "is none"},
	} {
		_, err := NewJWT(test.o)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want an error with %q", err, test.want)
		}
	}
}
