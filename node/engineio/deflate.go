package engineio

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"
)

// permessage-deflate (RFC 7692) without context takeover in either direction:
// each message stands for itself, so that a compressed one can be shared by all
// its receivers and an idle connection holds no window.

var (
	deflaters = sync.Pool{New: func() any {
		w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
		if err != nil {
			panic("engineio: " + err.Error()) // only for a level that does not exist
		}
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
)

// A compressed message lacks the four bytes that end a flushed block (RFC 7692,
// 7.2.1). A final empty block behind them tells the decoder that all is over.
var (
	deflateTail = []byte{0, 0, 0xff, 0xff}
	inflateTail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}
)

// deflated compresses the concatenation of the pieces.
func deflated(pieces ...[]byte) []byte {
	var out bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&out)
	for _, p := range pieces {
		_, _ = w.Write(p) // a bytes.Buffer takes everything
	}
	_ = w.Flush()
	return bytes.TrimSuffix(out.Bytes(), deflateTail)
}

var errInflate = errors.New("engineio: malformed compressed message")

// inflated decompresses a message that may have limit bytes when it is whole.
func inflated(p []byte, limit int) ([]byte, error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	src := io.MultiReader(bytes.NewReader(p), bytes.NewReader(inflateTail))
	if err := r.(flate.Resetter).Reset(src, nil); err != nil {
		return nil, errInflate
	}
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, errInflate
	}
	if n > int64(limit) {
		return nil, errTooLarge
	}
	return out.Bytes(), nil
}

// deflateOffer negotiates the extension for one handshake.
type deflateOffer struct{ ext wsflate.Extension }

func newDeflateOffer() *deflateOffer {
	return &deflateOffer{wsflate.Extension{Parameters: wsflate.Parameters{
		ServerNoContextTakeover: true,
		ClientNoContextTakeover: true,
	}}}
}

// negotiate declines what it does not understand, where the library would fail
// the handshake: RFC 7692, 5.1 asks for a decline.
func (d *deflateOffer) negotiate(opt httphead.Option) (httphead.Option, error) {
	accepted, err := d.ext.Negotiate(opt)
	if err != nil {
		return httphead.Option{}, nil
	}
	return accepted, nil
}

func (d *deflateOffer) accepted() bool {
	_, ok := d.ext.Accepted()
	return ok
}
