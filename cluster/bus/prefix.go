package bus

import (
	"fmt"
	"strings"

	"github.com/dynamicio/dynamicio/cluster/wire"
)

// DefaultPrefix begins the channels of everybody in the field.
const DefaultPrefix = "socket.io"

// Names of channels other than those of broadcasts have one of these behind the prefix.
const requestSuffix, responseSuffix = "-request", "-response"

// PrefixFor is the prefix of a cluster that was given none: [DefaultPrefix] for the cluster
// "default", and one of its own for each other, such as "socket.io-prod". No two clusters have
// the same, and none is the beginning of another's channels: what is neither a letter, a digit
// nor one of ._- is written %XX, and a name that would end as the channels of requests or responses
// do has a percent sign behind it.
func PrefixFor(cluster string) string {
	if cluster == "" || cluster == "default" {
		return DefaultPrefix
	}
	b := []byte(DefaultPrefix + "-")
	for i := range len(cluster) {
		switch c := cluster[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			b = append(b, c)
		default:
			b = fmt.Appendf(b, "%%%02X", c)
		}
	}
	prefix := string(b)
	if isQuestions(prefix) {
		prefix += "%"
	}
	return prefix
}

// isQuestions says whether broadcasts under this prefix would be on channels that another prefix has for
// its requests or responses.
func isQuestions(prefix string) bool {
	return strings.HasSuffix(prefix, requestSuffix) || strings.HasSuffix(prefix, responseSuffix)
}

// CheckPrefix says why a prefix cannot be used, nil if it can.
func CheckPrefix(prefix string) error {
	switch {
	case strings.Contains(prefix, "#"):
		return fmt.Errorf("bus: the prefix %q has a number sign, which ends a prefix in the names of channels", prefix)
	case isQuestions(prefix):
		base := strings.TrimSuffix(strings.TrimSuffix(prefix, requestSuffix), responseSuffix)
		return fmt.Errorf("bus: the prefix %q ends as the channels do that the prefix %q has for questions and answers", prefix, base)
	}
	return nil
}

// CheckDialect says why a dialect must not be written under a prefix, nil if it may.
func CheckDialect(prefix string, d wire.Dialect) error {
	if d == wire.StockGo && prefix == DefaultPrefix {
		return fmt.Errorf("bus: the stock Go dialect needs a prefix other than %q: it makes Node servers exit", prefix)
	}
	return nil
}
