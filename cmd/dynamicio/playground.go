package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

var (
	//go:embed playground.html
	playgroundHTML string
	//go:embed playground.css
	playgroundStyle string
	//go:embed playground.js
	playgroundScript string

	playgroundPage = template.Must(template.New("playground").Parse(playgroundHTML))
)

// playgroundRoot is where the page is.
const playgroundRoot = "/{$}"

// playgroundNode is a node that the page can reach by an address of its own.
type playgroundNode struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// playground returns the page to try a cluster with. Where nodes is empty, all of them
// are behind the address that the page came from.
func playground(path string, nodes []playgroundNode) (http.Handler, error) {
	type settings struct {
		Path  string           `json:"path"`
		Nodes []playgroundNode `json:"nodes"`
	}
	var page bytes.Buffer
	err := playgroundPage.Execute(&page, struct {
		Settings settings
		Style    template.CSS
		Script   template.JS
	}{
		settings{strings.TrimSuffix(path, "/"), append([]playgroundNode{}, nodes...)},
		template.CSS(playgroundStyle), template.JS(playgroundScript), // #nosec G203: both are ours
	})
	if err != nil {
		return nil, err
	}
	connect := "'self'"
	if len(nodes) > 0 {
		connect = "http: ws:"
	}
	policy := "default-src 'none'; script-src 'self' " + hashOf(playgroundScript) + "; style-src " + hashOf(playgroundStyle) +
		"; img-src data:; connect-src " + connect + "; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		_, _ = w.Write(page.Bytes()) // the asker may have gone
	}), nil
}

// hashOf is how a content security policy names a script or a style.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
