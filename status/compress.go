package status

import (
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// body is the body of an answer, compressed if the client takes that.
type body struct {
	io.Writer
	gz *gzip.Writer
}

// newBody is called before the header is written. The compression keeps
// nothing between writes, so that a stream costs no memory, and each write is
// whole by itself.
func newBody(w http.ResponseWriter, r *http.Request) *body {
	w.Header().Add("Vary", "Accept-Encoding")
	if !acceptsGzip(r.Header.Values("Accept-Encoding")) {
		return &body{Writer: w}
	}
	w.Header().Set("Content-Encoding", "gzip")
	gz, _ := gzip.NewWriterLevel(w, gzip.StatelessCompression) // fails for levels that there are not
	return &body{Writer: gz, gz: gz}
}

func (b *body) Close() error {
	if b.gz == nil {
		return nil
	}
	return b.gz.Close()
}

func acceptsGzip(headers []string) bool {
	for _, header := range headers {
		for coding := range strings.SplitSeq(header, ",") {
			name, params, _ := strings.Cut(coding, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, isQ := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
				return !isQ || strings.Trim(q, "0.") != ""
			}
		}
	}
	return false
}
