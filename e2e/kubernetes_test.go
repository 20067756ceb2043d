package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// There is no Kubernetes where these tests run. The manifests are held against the
// schemas of its API, and against each other and the program.

const kubernetes = "../deploy/kubernetes"

// manifest is one object of a file.
type manifest struct {
	path   string
	object map[string]any
}

func (m manifest) String() string { return m.path + ": " + m.kind() + " " + m.text("metadata/name") }

func (m manifest) kind() string { return m.text("kind") }

// at is the value of a field, as in "spec/ports/0/name"; a name with a slash in it is
// not reached. nil if there is none.
func (m manifest) at(path string) any { return valueAt(m.object, path) }

func valueAt(v any, path string) any {
	for name := range strings.SplitSeq(path, "/") {
		switch of := v.(type) {
		case map[string]any:
			v = of[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(of) {
				return nil
			}
			v = of[i]
		default:
			return nil
		}
	}
	return v
}

func (m manifest) text(path string) string {
	s, _ := m.at(path).(string)
	return s
}

func (m manifest) number(t *testing.T, path string) int {
	t.Helper()
	n, ok := m.at(path).(int)
	if !ok {
		t.Fatalf("%s: %s is %v, not a number", m, path, m.at(path))
	}
	return n
}

// fields are those of an object beneath an object; nil if there is none.
func (m manifest) fields(path string) map[string]any {
	f, _ := m.at(path).(map[string]any)
	return f
}

func (m manifest) list(path string) []any {
	l, _ := m.at(path).([]any)
	return l
}

// readYAML returns the documents of a file. A key that is there twice is an error.
func readYAML(t *testing.T, path string) []manifest {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []manifest
	for in := yaml.NewDecoder(bytes.NewReader(text)); ; {
		m := manifest{path: strings.TrimPrefix(path, kubernetes+"/")}
		switch err := in.Decode(&m.object); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, m)
	}
}

// kustomization is as much of a kustomization.yaml as ours use.
type kustomization struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Resources  []string
	Components []string
	Images     []struct {
		Name   string
		NewTag string `yaml:"newTag"`
	}
	Patches            []struct{ Path string }
	ConfigMapGenerator []struct {
		Name     string
		Behavior string
		Files    []string
	} `yaml:"configMapGenerator"`
	SecretGenerator []struct {
		Name     string
		Literals []string
	} `yaml:"secretGenerator"`
}

// kustomizations returns all of them by their folder, which is relative.
func kustomizations(t *testing.T) map[string]kustomization {
	t.Helper()
	all := map[string]kustomization{}
	err := filepath.WalkDir(kubernetes, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "kustomization.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var k kustomization
		in := yaml.NewDecoder(bytes.NewReader(text))
		in.KnownFields(true)
		if err := in.Decode(&k); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		folder, err := filepath.Rel(kubernetes, filepath.Dir(path))
		all[filepath.ToSlash(folder)] = k
		return err
	})
	if err != nil || len(all) < 3 {
		t.Fatalf("%d kustomizations in %s: %v", len(all), kubernetes, err)
	}
	return all
}

// manifests returns every object that the kustomizations list, and every patch merged
// into what it is for.
func manifests(t *testing.T) []manifest {
	t.Helper()
	var all []manifest
	for folder, k := range kustomizations(t) {
		for _, file := range k.Resources {
			if strings.HasSuffix(file, ".yaml") {
				all = append(all, readYAML(t, filepath.Join(kubernetes, folder, file))...)
			}
		}
	}
	for folder, k := range kustomizations(t) {
		for _, p := range k.Patches {
			for _, patch := range readYAML(t, filepath.Join(kubernetes, folder, p.Path)) {
				i := slices.IndexFunc(all, func(m manifest) bool {
					return m.kind() == patch.kind() && m.text("metadata/name") == patch.text("metadata/name")
				})
				if i < 0 {
					t.Fatalf("%s is for no object", patch)
				}
				all = append(all, manifest{patch.path, merge(all[i].object, patch.object).(map[string]any)})
			}
		}
	}
	return all
}

// merge is as much of Kubernetes' strategic merge as our patches need: objects field by
// field, lists of named things by their names, and everything else is replaced.
func merge(base, patch any) any {
	switch patch := patch.(type) {
	case map[string]any:
		merged := map[string]any{}
		if base, ok := base.(map[string]any); ok {
			for name, v := range base {
				merged[name] = v
			}
		}
		for name, v := range patch {
			merged[name] = merge(merged[name], v)
		}
		return merged
	case []any:
		base, ok := base.([]any)
		if !ok {
			return patch
		}
		merged := slices.Clone(base)
		for _, v := range patch {
			i := slices.IndexFunc(merged, func(b any) bool { return valueAt(b, "name") != nil && valueAt(b, "name") == valueAt(v, "name") })
			if i < 0 {
				merged = append(merged, v)
			} else {
				merged[i] = merge(merged[i], v)
			}
		}
		return merged
	}
	return patch
}

// named returns the object of this kind and name, from the base and not from a patch.
func named(t *testing.T, kind, name string) manifest {
	t.Helper()
	for _, m := range manifests(t) {
		if m.kind() == kind && m.text("metadata/name") == name {
			return m
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return manifest{}
}

// problems has the schemas say what is wrong with each of the objects.
func problems(t *testing.T, objects []map[string]any) [][]string {
	t.Helper()
	node, err := nodeJS()
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), node, "kubernetes.mjs")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	var all [][]string
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil || len(all) != len(objects) {
		t.Fatalf("kubernetes.mjs: %v\n%s%s", err, out, &stderr)
	}
	return all
}

func TestKubernetes_MatchesTheSchemas(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	var objects []map[string]any
	for _, m := range all {
		objects = append(objects, m.object)
	}
	for i, wrong := range problems(t, objects) {
		for _, problem := range wrong {
			t.Errorf("%s: %s", all[i], problem)
		}
	}
}

// The check itself: one mistake at a time, and each is found, where it is.
func TestKubernetes_MistakesAreFound(t *testing.T) {
	t.Parallel()
	set := func(field string, value any) func(map[string]any) { return func(o map[string]any) { o[field] = value } }
	rename := func(from, to string) func(map[string]any) {
		return func(o map[string]any) { o[to] = o[from]; delete(o, from) }
	}
	remove := func(field string) func(map[string]any) { return func(o map[string]any) { delete(o, field) } }
	for _, c := range []struct {
		kind, name, in string // the object, and the field in it that is changed
		change         func(map[string]any)
		want           string
	}{
		{"Deployment", "dynamicio", "", set("apiVersion", "apps/v2"), "no schema of apps/v2 Deployment"},
		{"Deployment", "dynamicio", "", set("kind", "Deploiment"), "no schema"},
		{"Deployment", "dynamicio", "metadata", rename("labels", "lables"), "/metadata/lables: there is no such field"},
		{"Deployment", "dynamicio", "spec", set("minReadySeconds", "5"), "/spec/minReadySeconds: type"},
		{"Deployment", "dynamicio", "spec", remove("selector"), "selector"},
		{"Deployment", "dynamicio", "spec/strategy/rollingUpdate", rename("maxSurge", "maxsurge"), "/spec/strategy/rollingUpdate/maxsurge: there is no such field"},
		{"Deployment", "dynamicio", "spec/template/spec", rename("terminationGracePeriodSeconds", "terminationGracePeriod"), "/terminationGracePeriod: there is no such field"},
		{"Deployment", "dynamicio", "spec/template/spec/containers/0", rename("readinessProbe", "readyProbe"), "/containers/0/readyProbe: there is no such field"},
		{"Deployment", "dynamicio", "spec/template/spec/containers/0", set("args", "serve"), "/containers/0/args: type"},
		{"Deployment", "dynamicio", "spec/template/spec/containers/0", remove("name"), "name"},
		{"Deployment", "dynamicio", "spec/template/spec/containers/0/lifecycle/preStop/sleep", set("seconds", "10s"), "/preStop/sleep/seconds: type"},
		{"Deployment", "dynamicio", "spec/template/spec/volumes/1/secret", rename("secretName", "name"), "/secret/name: there is no such field"},
		{"Deployment", "dynamicio", "spec/template/spec/containers/0/resources/limits", set("memory", []any{}), "/resources/limits/memory"},
		{"Service", "dynamicio", "spec/ports/0", set("port", "http"), "/spec/ports/0/port: type"},
		{"Service", "dynamicio", "spec", rename("selector", "selectors"), "/spec/selectors: there is no such field"},
		{"PodDisruptionBudget", "dynamicio", "spec", set("maxUnavailable", true), "/spec/maxUnavailable"},
		{"HorizontalPodAutoscaler", "dynamicio", "spec/behavior/scaleDown", rename("policies", "policy"), "/scaleDown/policy: there is no such field"},
		{"HorizontalPodAutoscaler", "dynamicio", "spec", remove("maxReplicas"), "maxReplicas"},
		{"NetworkPolicy", "dynamicio", "spec/ingress/1", rename("from", "form"), "/spec/ingress/1/form: there is no such field"},
		{"Ingress", "dynamicio", "spec/rules/0/http/paths/0", remove("pathType"), "pathType"},
		{"ServiceMonitor", "dynamicio", "spec/endpoints/0", rename("interval", "intervall"), "/spec/endpoints/0/intervall: there is no such field"},
		{"ServiceMonitor", "dynamicio", "spec/endpoints/0", set("scrapeTimeout", 10), "/spec/endpoints/0/scrapeTimeout: type"},
	} {
		m := named(t, c.kind, c.name)
		var in any = m.object
		if c.in != "" {
			in = m.at(c.in)
		}
		c.change(in.(map[string]any))
		if wrong := problems(t, []map[string]any{m.object})[0]; !strings.Contains(strings.Join(wrong, "\n"), c.want) {
			t.Errorf("%s %s, changed in %q: %q, want %q", c.kind, c.name, c.in, wrong, c.want)
		}
	}
}

// Every file is listed, and every file that is listed is there.
func TestKubernetes_Kustomizations(t *testing.T) {
	t.Parallel()
	for folder, k := range kustomizations(t) {
		want := map[string]string{"kustomize.config.k8s.io/v1beta1": "Kustomization", "kustomize.config.k8s.io/v1alpha1": "Component"}
		if want[k.APIVersion] != k.Kind || strings.HasPrefix(folder, "components/") != (k.Kind == "Component") {
			t.Errorf("%s: %s %s", folder, k.APIVersion, k.Kind)
		}
		listed := slices.Concat(k.Resources, k.Components)
		for _, p := range k.Patches {
			listed = append(listed, p.Path)
		}
		for _, c := range k.ConfigMapGenerator {
			listed = append(listed, c.Files...)
		}
		for _, file := range listed {
			if _, err := os.Stat(filepath.Join(kubernetes, folder, file)); err != nil {
				t.Errorf("%s lists what is not there: %v", folder, err)
			}
		}
		files, err := filepath.Glob(filepath.Join(kubernetes, folder, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if name := filepath.Base(file); name != "kustomization.yaml" && !slices.Contains(listed, name) {
				t.Errorf("%s does not list %s", folder, name)
			}
		}
	}
}
