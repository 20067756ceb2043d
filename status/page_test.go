package status

import "testing"

func TestPage_Smoke(t *testing.T) {
	src := &fakeSource{report: well()}
	src.report.Namespaces = []Namespace{space("/a", 1), space("/b", 0)}
	h := newTestHandler(t, src, nil)
	t.Log(get(t, h, "/socket.io/status"))
	t.Log(get(t, h, "/socket.io/status?namespace=/a", "Accept-Encoding: gzip"))
}
