package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dynamicio/dynamicio/node/client"
)

// What is embedded is what the npm package publishes, every file of it.
func TestClientBundle_IsThePublishedOne(t *testing.T) {
	if _, err := nodeJS(); err != nil {
		t.Fatal(err)
	}
	const published = "node_modules/socket.io-client"
	var pkg struct{ Version string }
	if err := json.Unmarshal(readFile(t, published, "package.json"), &pkg); err != nil {
		t.Fatal(err)
	}
	if pkg.Version != client.Version {
		t.Errorf("embedded is version %s, installed %s: run `make client-bundle`", client.Version, pkg.Version)
	}
	entries, err := os.ReadDir(filepath.Join(published, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		f, err := client.Open(e.Name())
		if err != nil {
			t.Error(err)
			continue
		}
		embedded, err := io.ReadAll(f)
		f.Close()
		if err != nil || !bytes.Equal(embedded, readFile(t, published, "dist", e.Name())) {
			t.Errorf("%s differs from the published file (%v): run `make client-bundle`", e.Name(), err)
		}
	}
	if !slices.Equal(names, client.Names()) {
		t.Errorf("embedded are %q, published %q", client.Names(), names)
	}
	if !bytes.Equal(readFile(t, published, "LICENSE"), readFile(t, "../node/client", "LICENSE")) {
		t.Error("the licence differs from the published one")
	}
}

// The program serves them below its path.
func TestClientBundle_IsServed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--path", "/live")
	for _, name := range client.Names() {
		res, err := http.Get(s.url() + "/live/" + name) // takes gzip and undoes it
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		want := readFile(t, "node_modules/socket.io-client/dist", name)
		if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
			t.Errorf("%s: status %d, %d bytes, %v", name, res.StatusCode, len(body), err)
		}
		if got, want := res.Header.Get("ETag"), `"`+client.Version+`"`; got != want {
			t.Errorf("%s: ETag %s, want %s", name, got, want)
		}
	}
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
