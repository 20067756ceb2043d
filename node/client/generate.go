//go:build ignore

// Generate copies the published files of the npm package in the folder named by
// its argument into this package: dist, gzipped, LICENSE and version.go.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run generate.go FOLDER_OF_socket.io-client")
	}
	if err := generate(os.Args[1]); err != nil {
		log.Fatal("client: ", err)
	}
}

func generate(from string) error {
	var pkg struct{ Name, Version string }
	manifest, err := os.ReadFile(filepath.Join(from, "package.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(manifest, &pkg); err != nil {
		return err
	}
	if pkg.Name != "socket.io-client" {
		return fmt.Errorf("%s holds %q, not socket.io-client", from, pkg.Name)
	}
	licence, err := os.ReadFile(filepath.Join(from, "LICENSE"))
	if err != nil {
		return err
	}
	if err := os.WriteFile("LICENSE", licence, 0o644); err != nil {
		return err
	}
	version := fmt.Sprintf("package client\n\n// Version is the version of the npm package socket.io-client that is embedded.\nconst Version = %q\n", pkg.Version)
	if err := os.WriteFile("version.go", []byte(version), 0o644); err != nil {
		return err
	}
	return pack(filepath.Join(from, "dist"), "dist")
}

// pack replaces the folder to with the gzipped files of the folder from.
func pack(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !strings.HasPrefix(file.Name(), "socket.io.") {
			return fmt.Errorf("%s is new in the package: decide whether to serve it", file.Name())
		}
		plain, err := os.ReadFile(filepath.Join(from, file.Name()))
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		// No name and no time in the header: the same input gives the same file.
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(plain); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, file.Name()+".gz"), packed.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
