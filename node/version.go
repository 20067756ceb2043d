package node

import (
	"runtime/debug"
	"sync"
)

// Version is the version of this program or of the module it was built from;
// "devel" where the build did not record one.
func Version() string { return version().module }

// Commit is the version control revision the program was built from, or empty.
func Commit() string { return version().commit }

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
