package node

import (
	"cmp"
	"runtime/debug"
	"sync"
)

// linkedVersion and linkedCommit are set by the linker where the build sees no
// version control (deploy/Dockerfile); empty otherwise.
var linkedVersion, linkedCommit string

// Version is the version of this program or of the module it was built from;
// "devel" where the build did not record one.
func Version() string { return cmp.Or(linkedVersion, version().module) }

// Commit is the version control revision the program was built from, or empty.
func Commit() string { return cmp.Or(linkedCommit, version().commit) }

type buildVersion struct{ module, commit string }

var version = sync.OnceValue(func() buildVersion {
	v := buildVersion{module: "devel"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	const self = "github.com/dynamicio/dynamicio"
	module := &info.Main
	for _, dep := range info.Deps {
		if dep.Path == self {
			module = dep
		}
	}
	if module.Path == self && module.Version != "" && module.Version != "(devel)" {
		v.module = module.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			v.commit = setting.Value
		}
	}
	return v
})
