package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// secretFlags are the flags whose value is a secret. Each has another one, with
// -file behind its name, for a file that holds it: the arguments of a process
// can be read by others, and the environment is inherited.
var secretFlags = []string{"redis", "status-token"}

// maxSecretFile bounds such a file, in bytes.
const maxSecretFile = 64 << 10

// readSecretFile returns what a file holds, without the line break at its end.
func readSecretFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", errors.Unwrap(err) // the name is told by the caller
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", errors.Unwrap(err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o002 != 0 {
		return "", errors.New("everybody may write to it: take that away with chmod o-w")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("it has more than %d bytes", maxSecretFile)
	case strings.TrimSpace(value) == "":
		return "", errors.New("it is empty")
	case strings.ContainsAny(value, "\r\n"):
		return "", errors.New("it has more than one line")
	}
	return value, nil
}

// secretFrom returns the secret of a flag from the file that its -file flag
// names, where that is given and the flag itself is not.
func secretFrom(flag, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", usagef("--%s and --%s-file are both given, want one of them", flag, flag)
	}
	value, err := readSecretFile(file)
	if err != nil {
		return "", usagef("--%s-file is %q, which cannot be used: %v", flag, file, err)
	}
	return value, nil
}

// readSecrets fills in the flags whose secrets stand in files. Of a secret and a
// file for it that come from different places the place that goes before counts.
func (s *settings) readSecrets() (wrong []error) {
	for _, flag := range secretFlags {
		value, file := s.flags.Lookup(flag), s.flags.Lookup(flag+"-file")
		here, inFile := "", file.Value.String()
		o, given := s.origins[flag]
		if given && (inFile == "" || o.from <= s.origins[file.Name].from) {
			here = value.Value.String()
		}
		if here != "" && inFile != "" && o.from < s.origins[file.Name].from {
			inFile = ""
		}
		secret, err := secretFrom(flag, here, inFile)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		must(value.Value.Set(secret)) // and not Changed: it was not given
	}
	return wrong
}

// inFile reports whether a flag has its value from the file that its -file flag names.
func (s *settings) inFile(flag string) bool {
	if !slices.Contains(secretFlags, flag) || s.flags.Lookup(flag+"-file").Value.String() == "" {
		return false
	}
	o, given := s.origins[flag]
	return !given || o.from > s.origins[flag+"-file"].from
}

// environSecret is environ for commands that have one secret: on the command
// line the secret beats the file that the environment names, and the other way round.
func environSecret(flags *pflag.FlagSet, secret string, except ...string) error {
	switch {
	case flags.Changed(secret):
		except = append(except, secret+"-file")
	case flags.Changed(secret + "-file"):
		except = append(except, secret)
	}
	return environ(flags, except...)
}

// fileFlag adds the flag that names a file for the secret of another flag.
func fileFlag(flags *pflag.FlagSet, into *string, secret string) {
	flags.StringVar(into, secret+"-file", "", "file that holds what --"+secret+" would be, without showing it in the list of processes")
}
