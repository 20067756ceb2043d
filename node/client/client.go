package client

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

//go:embed dist/*.gz
var dist embed.FS

// packed holds the gzipped files by their plain names. Written once, here.
var packed = load()

func load() map[string][]byte {
	files := make(map[string][]byte)
	names, err := fs.Glob(dist, "dist/*.gz")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, name := range names {
		data, err := dist.ReadFile(name)
		if err != nil {
			panic(err) // the files are part of the program
		}
		files[strings.TrimSuffix(strings.TrimPrefix(name, "dist/"), ".gz")] = data
	}
	return files
}

// Names returns the names of the files, "socket.io.js" among them, sorted. The
// caller may keep and change the slice.
func Names() []string {
	return slices.Sorted(maps.Keys(packed))
}

// Has reports whether name, such as "socket.io.min.js", is one of the files.
func Has(name string) bool {
	_, ok := packed[name]
	return ok
}

// Open returns the file called name as the npm package publishes it, not
// compressed. The error matches [fs.ErrNotExist] if there is none.
func Open(name string) (io.ReadCloser, error) {
	data, ok := packed[name]
	if !ok {
		return nil, fmt.Errorf("client: %q: %w", name, fs.ErrNotExist)
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("client: %q: %w", name, err)
	}
	return r, nil
}

// Handler serves the files below path, which is the Engine.IO path and may end
// in a slash: with "/socket.io" the client is /socket.io/socket.io.js. What is
// not one of the files gets 404, a method other than GET and HEAD 405.
//
// Status, ETag, Cache-Control and Content-Type are those of Node's Socket.IO
// server (the function serve of its dist/index.js, 4.8). Like there, the
// ETag is the quoted version, the same for both codings: no ranges are served,
// for which alone a strong validator would have to tell them apart. Unlike there, Vary names
// Accept-Encoding, which a cache in between needs, and neither br nor deflate is offered.
//
// Cross-origin headers are for who wraps it; an ES module imported by a page of
// another origin needs them.
func Handler(path string) http.Handler {
	prefix := strings.TrimRight(path, "/") + "/"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, below := strings.CutPrefix(r.URL.Path, prefix)
		data, ok := packed[name]
		if !below || !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		serve(w, r, name, data)
	})
}

// serve answers a GET or HEAD of the file called name, whose gzipped form is data.
func serve(w http.ResponseWriter, r *http.Request, name string, data []byte) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=0") // keep it, but ask each time
	h.Set("ETag", etag)
	h.Add("Vary", "Accept-Encoding")
	if matches(r.Header.Values("If-None-Match")) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if strings.HasSuffix(name, ".map") {
		h.Set("Content-Type", "application/json; charset=utf-8")
	} else {
		h.Set("Content-Type", "application/javascript; charset=utf-8")
	}
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.Itoa(len(data)))
		if r.Method == http.MethodGet {
			w.Write(data) // the client went away, if it fails: nobody to tell
		}
		return
	}
	h.Set("Content-Length", strconv.FormatUint(uint64(plainSize(data)), 10))
	if r.Method == http.MethodHead {
		return
	}
	plain, err := Open(name)
	if err != nil {
		// Unreachable with the embedded files; a wrong length must not follow.
		h.Del("Content-Length")
		http.Error(w, "the client bundle is damaged", http.StatusInternalServerError)
		return
	}
	defer plain.Close()
	io.Copy(w, plain) // as above
}

// plainSize reads the size before compression from the last four bytes of a
// gzip file (RFC 1952, ISIZE).
func plainSize(gz []byte) uint32 {
	return binary.LittleEndian.Uint32(gz[len(gz)-4:])
}
