package client

import (
	"iter"
	"strconv"
	"strings"
)

const etag = `"` + Version + `"`

// matches reports whether the values of If-None-Match name the embedded version.
// The comparison is the weak one (RFC 9110, 13.1.2): W/ does not count.
func matches(values []string) bool {
	for item := range items(values) {
		if item == "*" || strings.TrimPrefix(item, "W/") == etag {
			return true
		}
	}
	return false
}

// acceptsGzip reports whether the values of Accept-Encoding allow the gzip
// coding (RFC 9110, 12.5.3): named, or covered by *, and not with a weight of 0.
func acceptsGzip(values []string) bool {
	star := false
	for item := range items(values) {
		coding, params, _ := strings.Cut(item, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return weight(params) > 0
		case "*":
			star = weight(params) > 0
		}
	}
	return star
}

// weight returns the q of a list item's parameters: 1 if there is none, 0 if it is no number.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0
			}
			return q
		}
	}
	return 1
}

// items yields the trimmed members of comma separated header values.
func items(values []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, value := range values {
			for item := range strings.SplitSeq(value, ",") {
				if !yield(strings.TrimSpace(item)) {
					return
				}
			}
		}
	}
}
