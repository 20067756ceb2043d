// Package config reads the configuration file of dynamicio serve, a YAML file
// whose keys are the names of the flags, and two more: "namespaces", a list of
// rules, and "hosts", the aliases of virtual hosts.
//
// It says what is wrong with line and key, and all of it at once. It opens the
// files that a rule names for its secrets, and nothing else; no secret is in an
// error. Whether the values make sense together, such as the flags of Redis,
// is for those to decide who use them.
//
// A file is taken for an operator's, who may be careless but not hostile; even
// so its size and what its aliases expand to are bounded.
package config
