package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// secret is a value that stands in the file, in another file or in the
// environment. What it holds is in no error.
type secret struct {
	value string
	here  *yaml.Node // where it stands itself
	file  reference
	env   reference
}

// reference is the name of what holds a secret, and where that name stands.
type reference struct {
	name, path string
	at         *yaml.Node // nil: there is none
}

func (ref *reference) read(r *reader) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		ref.path, ref.at = path, n
		r.text(&ref.name)(path, n)
		if v, ok := r.resolve(path, n); ok && v.Kind == yaml.ScalarNode && v.Value == "" && v.Tag != "!!null" {
			r.fail(n, path, "is empty, want a name")
		}
	}
}

// fields are the three keys of a secret. help says what it is.
func (s *secret) fields(r *reader, key, help, sample string) []field {
	return []field{
		{key: key, help: help, sample: sample, read: func(path string, n *yaml.Node) {
			s.here = n
			s.value, _ = r.secretText(path, n)
		}},
		{key: key + "-file", help: "the same from a file, relative to this one", instead: true, read: s.file.read(r)},
		{key: key + "-env", help: "the same from an environment variable", instead: true, read: s.env.read(r)},
	}
}

// secretText reads a text that no error may show.
func (r *reader) secretText(path string, n *yaml.Node) (string, bool) {
	v, ok := r.resolve(path, n)
	switch {
	case !ok:
	case v.Kind != yaml.ScalarNode || v.Tag == "!!null" || v.Tag == "!!binary":
		r.fail(n, path, "is no text, want one")
	case v.Value == "":
		r.fail(n, path, "is empty, want a text")
	case strings.TrimSpace(v.Value) == "":
		r.fail(n, path, "is blank, want a text")
	default:
		return v.Value, true
	}
	return "", false
}

// maxSecret bounds a file with secrets.
const maxSecret = 64 << 10

// contents returns what the file holds that ref names.
func (r *reader) contents(ref reference) (string, bool) {
	if ref.name == "" {
		return "", false // said before
	}
	name := ref.name
	if !filepath.IsAbs(name) {
		name = filepath.Join(r.dir, name)
	}
	text, err := readBounded(name, maxSecret)
	if err != nil {
		r.fail(ref.at, ref.path, "cannot be read: %v", err)
		return "", false
	}
	// Editors end a file with a line break that nobody means.
	value := strings.TrimRight(string(text), "\r\n")
	if strings.TrimSpace(value) == "" {
		r.fail(ref.at, ref.path, "is an empty file")
		return "", false
	}
	return value, true
}

// variable returns what the environment variable holds that ref names.
func (r *reader) variable(ref reference) (string, bool) {
	if ref.name == "" {
		return "", false // said before
	}
	r.variables = append(r.variables, ref.name)
	value := os.Getenv(ref.name)
	switch {
	case value == "":
		r.fail(ref.at, ref.path, "names the environment variable %q, which is not set", shorten(ref.name))
	case strings.TrimSpace(value) == "":
		r.fail(ref.at, ref.path, "names the environment variable %q, which is blank", shorten(ref.name))
	default:
		return value, true
	}
	return "", false
}

// sources is in how many places the secret stands.
func (s *secret) sources() int {
	n := 0
	for _, at := range []*yaml.Node{s.here, s.file.at, s.env.at} {
		if at != nil {
			n++
		}
	}
	return n
}

// get returns the secret, from wherever it is. at is the value that it is part
// of. Where there is none, it has been said why, unless sources is 0.
func (s *secret) get(r *reader, path string, at *yaml.Node) (value string, ok bool) {
	switch {
	case s.sources() > 1:
		r.fail(at, path, "has the same secret in two places, want one of them")
		return "", false
	case s.file.at != nil:
		return r.contents(s.file)
	case s.env.at != nil:
		return r.variable(s.env)
	}
	return s.value, s.value != ""
}

// readBounded reads a file of at most so many bytes.
func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, most)
}

func readAll(from io.Reader, name string, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return text, err
}
