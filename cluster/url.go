package cluster

import (
	"errors"
	"net/url"
	"strings"
)

// explainURL says why connect refuses a URL. Parsers quote what they cannot read, which may be a password; so it
// is what they say of the URL without all that may be one. If nothing else is wrong, that is.
func explainURL(rawURL string) error {
	bare, hadUser := withoutSecrets(rawURL)
	if !hadUser && !portIsNumber(bare) {
		// Somebody may have left the host out.
		return errors.New("what follows the colon behind the host is no port; a password is written redis://:PASSWORD@HOST:PORT")
	}
	c, err := connect(bare, nil)
	if err == nil {
		c.Close()
		return errors.New("the user name or the password has a character that must be percent-encoded: " +
			"/ as %2F, ? as %3F, # as %23, @ as %40, % as %25, a blank as %20")
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err // without the whole of the URL
	}
	return err
}

// withoutSecrets takes the user information out of a URL, which need not be valid, and the parameters that may
// be credentials. A password may have any sign in it, so all up to the last @ is user information.
func withoutSecrets(rawURL string) (bare string, hadUser bool) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return "", false
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest, hadUser = rest[i+1:], true
	}
	before, query, ok := strings.Cut(rest, "?")
	if ok {
		var kept []string
		for pair := range strings.SplitSeq(query, "&") {
			if name, _, _ := strings.Cut(pair, "="); !isCredential(name) {
				kept = append(kept, pair)
			}
		}
		before += "?" + strings.Join(kept, "&")
	}
	return scheme + "://" + before, hadUser
}

// isCredential says whether the parameter of a URL has a name of somebody or a password for its value.
func isCredential(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	name = strings.ToLower(name)
	return strings.Contains(name, "password") || strings.Contains(name, "username")
}

// portIsNumber says whether what looks like the port of a URL is a number, or is not there.
func portIsNumber(rawURL string) bool {
	_, rest, _ := strings.Cut(rawURL, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 || strings.LastIndexByte(rest, ']') > i {
		return true
	}
	return strings.Trim(rest[i+1:], "0123456789") == ""
}

// hidden stands for a secret.
const hidden = "xxxxx"

// RedactURL is a URL as [Connect] takes it, to be shown: without passwords, and without a user name that stands alone, since it may
// be a password without its colon.
func RedactURL(rawURL string) string {
	const unreadable = "(unreadable)"
	bare, _ := withoutSecrets(rawURL)
	u, err := url.Parse(rawURL)
	if err != nil || u.Opaque != "" || u.Host == "" && u.Path == "" || strings.Contains(rawURL, "#") || !strings.HasPrefix(strings.ToLower(bare), strings.ToLower(u.Scheme+"://"+u.Host)) {
		return unreadable
	}
	if u.User != nil {
		if password, _ := u.User.Password(); password != "" {
			u.User = url.UserPassword(u.User.Username(), hidden)
		} else {
			u.User = url.User(hidden)
		}
	}
	query := u.Query()
	for name := range query {
		if isCredential(name) {
			query.Set(name, hidden)
			u.RawQuery = query.Encode()
		}
	}
	return u.String()
}
