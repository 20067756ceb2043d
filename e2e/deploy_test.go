package e2e

import (
	"debug/elf"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// There is no Docker where these tests run. What can be known of the files
// without it is checked here.

const (
	composeFile = "../docker-compose.yml"
	dockerfile  = "../deploy/Dockerfile"
)

// compose is as much of docker-compose.yml as these tests look at.
type compose struct {
	Services map[string]*service
	Networks map[string]any
	Volumes  map[string]any
}

type service struct {
	Image         string
	Build         struct{ Context, Dockerfile string }
	Command       []string
	ContainerName string `yaml:"container_name"`
	Hostname      string
	Ports         []string
	Networks      []string
	Volumes       []string
	HealthCheck   struct {
		Test []string
	}
	DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
	Deploy    struct{ Replicas int }
	Grace     string   `yaml:"stop_grace_period"`
	ReadOnly  bool     `yaml:"read_only"`
	CapDrop   []string `yaml:"cap_drop"`
}

func readCompose(t *testing.T) compose {
	t.Helper()
	text, err := os.ReadFile(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	return parseCompose(t, text)
}

func parseCompose(t *testing.T, text []byte) compose {
	t.Helper()
	var c compose
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "node", "lb"} {
		if c.Services[name] == nil {
			t.Fatalf("%s has no service %q", composeFile, name)
		}
	}
	return c
}

// pinned is an image with a version of at least two numbers.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:\d+\.\d+[a-z0-9.-]*$`)

func TestCompose_Services(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for _, name := range []string{"redis", "lb"} {
		if s := c.Services[name]; !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %q has no version", name, s.Image)
		} else if len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] != "CMD" {
			t.Errorf("%s: the health check is %q", name, s.HealthCheck.Test)
		}
	}
	for name, s := range c.Services {
		for _, n := range s.Networks {
			if _, ok := c.Networks[n]; !ok {
				t.Errorf("%s: there is no network %q", name, n)
			}
		}
		for on, how := range s.DependsOn {
			if c.Services[on] == nil || how.Condition != "service_healthy" {
				t.Errorf("%s depends on %s: %q", name, on, how.Condition)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, named := c.Volumes[source]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("%s: volume %s: %v", name, v, err)
			}
		}
	}
	// Everybody may broadcast to everybody, so nobody comes from elsewhere.
	if got := c.Services["lb"].Ports; !slices.Equal(got, []string{"127.0.0.1:8080:8080"}) {
		t.Errorf("the load balancer's ports are %q", got)
	}
	if got := c.Services["redis"].Ports; got != nil {
		t.Errorf("Redis has the ports %q on the host", got)
	}
}

// docker compose up --scale node=5 works if nothing about a node is there once only.
func TestCompose_NodesCanBeMany(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	n := c.Services["node"]
	if n.ContainerName != "" || n.Hostname != "" || n.Ports != nil || n.Volumes != nil {
		t.Errorf("name %q, host name %q, ports %q, volumes %q: each allows for one node only", n.ContainerName, n.Hostname, n.Ports, n.Volumes)
	}
	if slices.ContainsFunc(n.Command, func(arg string) bool { return strings.HasPrefix(arg, "--node-id") }) {
		t.Error("all replicas would have the same node id")
	}
	if n.Deploy.Replicas != 3 {
		t.Errorf("%d replicas, want 3", n.Deploy.Replicas)
	}
	if !n.ReadOnly || !slices.Equal(n.CapDrop, []string{"ALL"}) {
		t.Error("a node may do more than it needs")
	}
	cfg, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	// The name that HAProxy asks for is the service's, at a network that they share.
	if !strings.Contains(string(cfg), " node:8080\n") || !slices.Contains(c.Services["lb"].Networks, "web") || !slices.Contains(n.Networks, "web") {
		t.Error("HAProxy does not find the nodes")
	}
}

// The command line of the nodes is one that the program takes.
func TestCompose_FlagsOfTheNode(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	n := c.Services["node"]
	bin, err := dynamicio()
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Command) == 0 || n.Command[0] != "serve" {
		t.Fatalf("the command is %q", n.Command)
	}
	help, err := exec.CommandContext(t.Context(), bin, "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("serve --help: %v\n%s", err, help)
	}
	known := func(flag string) bool { return regexp.MustCompile(`(?m)^\s+` + flag + `\b`).Match(help) }
	values := map[string]string{}
	for _, arg := range n.Command[1:] {
		name, value, _ := strings.Cut(arg, "=")
		// Without the cluster in the program the flags of the cluster cannot be there either.
		if !known(name) && (known("--redis") || !slices.Contains([]string{"--redis", "--node-ttl", "--lease-ttl"}, name)) {
			t.Errorf("serve --help does not know %s", name)
		}
		values[name] = value
	}
	if values["--redis"] != "redis://redis:6379" {
		t.Errorf("the nodes use %q", values["--redis"])
	}
	for _, flag := range []string{"--playground", "--public-status", "--admin-listen"} {
		if _, there := values[flag]; !there {
			t.Errorf("%s is missing", flag)
		}
	}
	drain, err1 := time.ParseDuration(values["--drain-timeout"])
	grace, err2 := time.ParseDuration(n.Grace)
	if err1 != nil || err2 != nil || grace < drain+5*time.Second {
		t.Errorf("Docker kills a node after %q, which drains for %q (%v, %v)", n.Grace, values["--drain-timeout"], err1, err2)
	}
}

// The command that the file names opens it to a network, and nothing but what the
// configuration allows is open then.
func TestCompose_OpenedToANetwork(t *testing.T) {
	t.Parallel()
	text := render(t, composeFile)
	m := regexp.MustCompile(`(?m)^#   sed (.+) docker-compose\.yml > `).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the file does not say how to open it")
	}
	opened, err := exec.CommandContext(t.Context(), "sh", "-c", "sed "+m[1]+" "+composeFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	c := parseCompose(t, opened)
	if got := c.Services["lb"].Ports; !slices.Equal(got, []string{"8080:8080"}) {
		t.Errorf("the load balancer's ports are %q", got)
	}
	n := c.Services["node"]
	here := t.TempDir() // what the steps before make
	example := regexp.MustCompile(`(?m)^#   cp (\S+) \.`).FindStringSubmatch(text)
	if example == nil {
		t.Fatal("the file names no configuration to begin with")
	}
	if err := os.Mkdir(filepath.Join(here, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	args := strings.Join(n.Command[1:], "\n")
	config := render(t, filepath.Join("..", example[1]))
	for _, v := range n.Volumes {
		part := strings.Split(v, ":")
		args = strings.ReplaceAll(args, part[1], filepath.Join(here, part[0]))
		config = strings.ReplaceAll(config, part[1], filepath.Join(here, part[0]))
	}
	for file, content := range map[string]string{
		filepath.Base(example[1]): config, "secrets/client-tokens": "a-token-of-the-clients\n", "secrets/status-token": "a-token-of-the-status\n",
	} {
		if err := os.WriteFile(filepath.Join(here, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args = strings.Replace(args, "redis://redis:6379", redistest.Start(t).URL(), 1)
	args = strings.Replace(args, "--admin-listen=:9090", "--admin-listen=127.0.0.1:0", 1)
	s := startServer(t, strings.Split(args, "\n")...)
	if got := connectPolling(t, s.url(), "/chat", ""); !strings.HasPrefix(got, "44/chat,") {
		t.Errorf("without a token a client hears %s", got)
	}
	if got := connectPolling(t, s.url(), "/chat", `{"token":"a-token-of-the-clients"}`); !strings.HasPrefix(got, `40/chat,{"sid":`) {
		t.Errorf("with a token a client hears %s", got)
	}
	for path, want := range map[string]int{
		"/": http.StatusNotFound, "/metrics": http.StatusNotFound, "/socket.io/status.json": http.StatusUnauthorized,
		"/socket.io/status.json?token=a-token-of-the-status": http.StatusOK,
	} {
		if err := wantStatus(s.url()+path, want); err != nil {
			t.Error(err)
		}
	}
}

// instruction is one of a Dockerfile, its continued lines joined.
type instruction struct{ name, args string }

func readDockerfile(t *testing.T) []instruction {
	t.Helper()
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	var all []instruction
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		all = append(all, instruction{name, strings.Join(strings.Fields(args), " ")})
	}
	return all
}

// The rules of hadolint that matter here, and some of our own.
func TestDockerfile_Rules(t *testing.T) {
	t.Parallel()
	last := map[string]string{} // of the final stage
	for _, in := range readDockerfile(t) {
		switch in.name {
		case "FROM":
			clear(last)
			image := regexp.MustCompile(`^(--platform=\S+ )?(\S+)`).FindStringSubmatch(in.args)[2]
			if image != "scratch" && !pinned.MatchString(image) {
				t.Errorf("FROM %s: no version", image)
			}
			if strings.HasPrefix(image, "golang:") && !strings.HasPrefix(image, "golang:"+goVersion(t)+"-") {
				t.Errorf("FROM %s, but go.mod wants Go %s", image, goVersion(t))
			}
		case "ADD", "MAINTAINER", "SHELL", "ONBUILD":
			t.Errorf("%s %s", in.name, in.args)
		case "WORKDIR":
			if in.args[0] != '/' {
				t.Errorf("WORKDIR %s is relative", in.args)
			}
		case "RUN":
			if strings.Contains(in.args, "sudo ") || strings.Contains(in.args, "curl ") {
				t.Errorf("RUN %s", in.args)
			}
		}
		last[in.name] = in.args
	}
	if last["FROM"] != "scratch" {
		t.Errorf("the image is from %s", last["FROM"])
	}
	if !regexp.MustCompile(`^[1-9]\d*(:[1-9]\d*)?$`).MatchString(last["USER"]) {
		t.Errorf("USER %q, want a number that is not root's", last["USER"])
	}
	if _, ok := last["RUN"]; ok {
		t.Error("RUN in a stage that has no shell")
	}
	if last["STOPSIGNAL"] != "SIGTERM" || last["EXPOSE"] != "8080" {
		t.Errorf("STOPSIGNAL %q, EXPOSE %q", last["STOPSIGNAL"], last["EXPOSE"])
	}
	for _, exec := range []string{"ENTRYPOINT", "CMD"} {
		if !strings.HasPrefix(last[exec], `["`) {
			t.Errorf("%s %s: there is no shell to run it", exec, last[exec])
		}
	}
}

// imageCheck runs the image's health check against a node, and returns its exit code.
func imageCheck(t *testing.T, url string) int {
	t.Helper()
	i := slices.IndexFunc(readDockerfile(t), func(in instruction) bool { return in.name == "HEALTHCHECK" })
	if i < 0 {
		t.Fatal("the image has no HEALTHCHECK")
	}
	_, check, _ := strings.Cut(readDockerfile(t)[i].args, "CMD ")
	var args []string
	if err := json.Unmarshal([]byte(check), &args); err != nil || len(args) < 2 || args[0] != "/dynamicio" || args[1] != "healthcheck" {
		t.Fatalf("HEALTHCHECK %s: %v", check, err)
	}
	bin, err := dynamicio()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append(args[1:], "--url", url)...)
	if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return cmd.ProcessState.ExitCode()
}

// The image's health check is for who restarts containers: Redis being unavailable is no
// reason to. What decides who gets new clients can tell the two apart.
func TestDockerfile_HealthCheckIsLiveness(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := startServer(t, "--redis", redis.URL(), "--node-ttl", "2s", "--lease-ttl", "1s")
	if code := imageCheck(t, s.url()); code != 0 {
		t.Errorf("exit code %d of a healthy node", code)
	}
	redis.Kill()
	eventually(t, "the node knows that Redis is gone", func() error { return wantStatus(s.url()+"/readyz", http.StatusServiceUnavailable) })
	if code := imageCheck(t, s.url()); code != 0 {
		t.Errorf("exit code %d while Redis is unavailable", code)
	}
	// What Kubernetes and Traefik ask: --when-away admit means that such a node has its clients.
	if err := wantStatus(s.url()+"/readyz?exclude=redis", http.StatusOK); err != nil {
		t.Error(err)
	}
	redis.Restart()
	eventually(t, "the node is ready again", func() error { return wantStatus(s.url()+"/readyz", http.StatusOK) })
	s.kill()
	// Wrong usage would be 2.
	if code := imageCheck(t, s.url()); code != 1 {
		t.Errorf("exit code %d where nobody listens, want 1", code)
	}
}

// goVersion is the language version that go.mod states, as "1.26".
func goVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.mod states no version")
	}
	return string(m[1])
}

// What .dockerignore lets through is all that the build needs: the program is
// built from that alone, by the Dockerfile's own command, and is one static file.
func TestDockerfile_Builds(t *testing.T) {
	t.Parallel()
	context := t.TempDir()
	for _, path := range allowed(t) {
		if err := os.CopyFS(filepath.Join(context, path), os.DirFS(filepath.Join("..", path))); err != nil {
			text, err := os.ReadFile(filepath.Join("..", path)) // a file, not a folder
			if err == nil {
				err = os.WriteFile(filepath.Join(context, path), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	removeIgnored(t, context)

	var build string
	for _, in := range readDockerfile(t) {
		if in.name == "RUN" && strings.Contains(in.args, "go build") {
			build = regexp.MustCompile(`--mount=\S+ `).ReplaceAllString(in.args, "")
		}
	}
	bin := filepath.Join(t.TempDir(), "dynamicio")
	build = strings.Replace(build, "-o /dynamicio ", "-o "+bin+" ", 1)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", build)
	cmd.Dir = context
	cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH=", "VERSION=v1.2.3", "COMMIT=abc", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}

	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic linker, which the image does not have")
		}
	}
	out, err := exec.CommandContext(t.Context(), bin, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "dynamicio v1.2.3, commit abc,") {
		t.Errorf("version: %s %v", out, err)
	}
}

// allowed are the files and folders that Dockerfile.dockerignore names with "!".
func allowed(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, line := range ignoreLines(t) {
		if path, ok := strings.CutPrefix(line, "!"); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

func ignoreLines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(dockerfile + ".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if lines[0] != "*" {
		t.Fatal("not everything is ignored to begin with")
	}
	return lines
}

// removeIgnored does what the lines "**/pattern" ask for.
func removeIgnored(t *testing.T, root string) {
	t.Helper()
	for _, line := range ignoreLines(t)[1:] {
		pattern, ok := strings.CutPrefix(line, "**/")
		if !ok && line[0] != '!' {
			t.Fatalf("this test does not know what %q means", line)
		}
		err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if hit, _ := filepath.Match(pattern, filepath.Base(path)); err != nil || !ok || !hit {
				return err
			}
			if err := os.RemoveAll(path); err != nil || !entry.IsDir() {
				return err
			}
			return filepath.SkipDir
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
