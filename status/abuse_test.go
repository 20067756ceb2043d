package status

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// 30 kB of address once made a page of 904 MB: its rows repeat the parameters in their links.
func TestPage_LongParametersMakeNoLargePage(t *testing.T) {
	src := &fakeSource{report: well()}
	for i := range 2000 {
		src.report.Namespaces = append(src.report.Namespaces, space(fmt.Sprintf("/!/%05d", i), 0))
	}
	h := newTestHandler(t, src, nil)
	const most = 12 << 20
	for _, name := range []string{"after", "q", "namespace"} {
		for _, length := range []int{MaxParameter, MaxParameter + 1} {
			query := url.Values{"limit": {"10000"}, name: {strings.Repeat("!", length)}}.Encode()
			want := http.StatusOK
			if length > MaxParameter {
				want = http.StatusBadRequest
			}
			for _, path := range []string{"/status?", "/status.json?"} {
				w := serve(h, request("GET", "/socket.io"+path+query, ""))
				if w.Code != want || w.Body.Len() > most {
					t.Errorf("%s%s of %d bytes: %d with %d bytes, want %d with %d at most", path, name, length, w.Code, w.Body.Len(), want, most)
				}
			}
		}
	}
	if w := serve(h, request("GET", "/socket.io/status/events?after="+strings.Repeat("!", MaxParameter+1), "")); w.Code != http.StatusBadRequest {
		t.Errorf("a stream of a page with a long parameter: %d", w.Code)
	}
	if n := strings.Count(get(t, h, "/socket.io/status?limit=10000"), `class="ns"`); n != maxPageLimit {
		t.Errorf("a page with %d rows, want %d at most", n, maxPageLimit)
	}
}
