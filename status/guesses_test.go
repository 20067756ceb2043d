package status

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// byAddress is the handler's own way to tell visitors apart.
func byAddress(o *Options) {
	o.Address = func(r *http.Request) netip.Addr {
		a, _ := netip.ParseAddrPort(r.RemoteAddr)
		return a.Addr()
	}
}

// from makes a request of an address.
func from(addr, method, path, body string, headers ...string) *http.Request {
	r := request(method, path, body, headers...)
	r.RemoteAddr = addr + ":1234"
	return r
}

// Whichever way wrong tokens come, an address has ten of them a minute, and the
// log one line.
func TestGuesses_AreLimitedForEachAddress(t *testing.T) {
	ways := []func(addr, token string) *http.Request{
		func(addr, token string) *http.Request {
			return from(addr, "GET", "/socket.io/status.json", "", "Authorization: Bearer "+token)
		},
		func(addr, token string) *http.Request {
			return from(addr, "GET", "/socket.io/status.json?token="+token, "")
		},
		func(addr, token string) *http.Request {
			return from(addr, "POST", "/socket.io/status/signin", "token="+token, "Sec-Fetch-Site: same-origin")
		},
	}
	for i, ask := range ways {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			h := newTestHandler(t, &fakeSource{report: well()}, func(o *Options) {
				o.Public, o.Token, o.Logger = false, token, slog.New(slog.NewTextHandler(&log, nil))
				byAddress(o)
			})
			codes := map[int]int{}
			for n := range 5000 {
				codes[serve(h, ask("192.0.2.1", fmt.Sprintf("wrong%d", n))).Code]++
			}
			if codes[401] != defaults.WrongTokensPerMinute || codes[429] != 5000-defaults.WrongTokensPerMinute {
				t.Errorf("way %d: answers %v", i, codes)
			}
			if got := serve(h, ask("192.0.2.1", token)); got.Code != 429 || got.Header().Get("Retry-After") == "" {
				t.Errorf("way %d: the right token, too, is not looked at: %d", i, got.Code)
			}
			if got := serve(h, ask("192.0.2.2", token)).Code; got != 200 && got != 303 {
				t.Errorf("way %d: another address is answered %d", i, got)
			}
			if lines := strings.Count(log.String(), "level=WARN"); lines != 1 || strings.Contains(log.String(), "wrong1") {
				t.Errorf("way %d: %d lines:\n%s", i, lines, log.String())
			}
			if s := h.Stats(); s.WrongTokens != int64(defaults.WrongTokensPerMinute) || s.Throttled != int64(5001-defaults.WrongTokensPerMinute) {
				t.Errorf("way %d: %+v", i, s)
			}
			time.Sleep(guessWindow)
			if got := serve(h, ask("192.0.2.1", "wrong")).Code; got != 401 {
				t.Errorf("way %d: a minute later: %d", i, got)
			}
			if text := log.String(); strings.Count(text, "level=WARN") != 2 || !strings.Contains(text, fmt.Sprint("unlogged_before=", defaults.WrongTokensPerMinute-1)) {
				t.Errorf("way %d: a minute later: %s", i, text)
			}
			if got := serve(h, ask("192.0.2.1", token)).Code; got != 200 && got != 303 {
				t.Errorf("way %d: a minute later, the right token: %d", i, got)
			}
		})
	}
}

// Who signed in before stays in, whoever else guesses from the same address.
func TestGuesses_DoNotSignOthersOut(t *testing.T) {
	h := newTestHandler(t, &fakeSource{report: well()}, func(o *Options) { o.Public, o.Token = false, token; byAddress(o) })
	cookie := serve(h, from("192.0.2.1", "POST", "/socket.io/status/signin", "token="+token, "Sec-Fetch-Site: same-origin")).Result().Cookies()[0]
	for range 2 * defaults.WrongTokensPerMinute {
		serve(h, from("192.0.2.1", "GET", "/socket.io/status?token=wrong", ""))
	}
	if got := serve(h, from("192.0.2.1", "GET", "/socket.io/status", "", "Cookie: "+cookie.String())).Code; got != 200 {
		t.Errorf("answered %d", got)
	}
}

// However many addresses guess, what is remembered of them is bounded, and those
// beyond it are limited together.
func TestGuesses_AreBounded(t *testing.T) {
	g := guesses{most: defaults.WrongTokensPerMinute}
	at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
	for n := range 3 * maxGuessers {
		g.note(at(n))
	}
	if len(g.wrong) > maxGuessers+1 {
		t.Errorf("%d addresses are remembered", len(g.wrong))
	}
	if !g.mayTry(at(0)) || g.mayTry(at(2*maxGuessers)) {
		t.Error("an address with one wrong token is refused, or one that is not remembered is not")
	}
}

// One visitor takes a part of the streams; those who have the token are not counted.
func TestEvents_OneAddressDoesNotTakeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHandler(t, &fakeSource{report: well()}, func(o *Options) { o.Token = token; byAddress(o) })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		open := func(addr string, headers ...string) int {
			_, w := watchAs(h, from(addr, "GET", "/socket.io/status/events", "", headers...).WithContext(ctx))
			synctest.Wait()
			return w.code
		}
		for i := range defaults.MaxViewers {
			want := http.StatusOK
			if i >= defaults.MaxViewersPerAddress {
				want = http.StatusServiceUnavailable
			}
			if got := open("192.0.2.1"); got != want {
				t.Fatalf("stream %d of one address: %d", i+1, got)
			}
		}
		if got := open("192.0.2.2"); got != http.StatusOK {
			t.Errorf("another address: %d", got)
		}
		if got := open("192.0.2.1", "Authorization: Bearer "+token); got != http.StatusOK {
			t.Errorf("with the token: %d", got)
		}
		if s := h.Stats(); s.Visitors != defaults.MaxViewersPerAddress+1 || s.Signed != 1 {
			t.Errorf("%+v", s)
		}
		cancel()
		synctest.Wait()
		if s := h.Stats(); s.Visitors != 0 || s.Signed != 0 || len(h.feeds.visitors.n) != 0 {
			t.Errorf("afterwards %+v, %d addresses", s, len(h.feeds.visitors.n))
		}
	})
}

// The bounds are the operator's to set.
func TestGuesses_BoundIsAnOption(t *testing.T) {
	h := newTestHandler(t, &fakeSource{report: well()}, func(o *Options) {
		o.Public, o.Token, o.WrongTokensPerMinute = false, token, 2
		byAddress(o)
	})
	var codes []int
	for range 3 {
		codes = append(codes, serve(h, from("192.0.2.1", "GET", "/socket.io/status.json?token=wrong", "")).Code)
	}
	if !slices.Equal(codes, []int{401, 401, 429}) {
		t.Errorf("answered %v", codes)
	}
}
