package status

import (
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Five minutes are kept, one sample each five seconds; what came before is forgotten.
func TestSampler_KeepsFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events, sockets atomic.Int64
		s := NewSampler(func() Sample {
			return Sample{Sockets: sockets.Load(), Events: events.Load(), Deliveries: 10 * events.Load()}
		})
		if s.Trend() != nil || s.Text() != "" {
			t.Error("a trend before the first sample")
		}
		s.Start()
		synctest.Wait()
		for i := range 70 {
			sockets.Store(int64(i))
			events.Add(50)
			time.Sleep(SampleEvery)
			synctest.Wait()
		}
		if in, out := s.Rates(); in != 10 || out != 100 {
			t.Errorf("rates %v and %v a second, want 10 and 100", in, out)
		}
		tr := s.Trend()
		if len(tr.Sockets) != 60 || tr.Sockets[0] != 10 || tr.Sockets[59] != 69 || tr.Events[59] != 10 || tr.Deliveries[0] != 100 || tr.StepMS != 5000 {
			t.Errorf("trend %+v", tr)
		}
		if got := ParseTrend(s.Text()); !reflect.DeepEqual(got, tr) {
			t.Errorf("the others read %+v", got)
		}
		time.Sleep(SampleEvery) // nothing happens
		synctest.Wait()
		if in, _ := s.Rates(); in != 0 {
			t.Errorf("%v events a second when there is none", in)
		}
		s.Close()
		s.Close()
		before := s.Text()
		events.Add(1000)
		time.Sleep(time.Minute)
		if s.Text() != before {
			t.Error("it samples after Close")
		}
	})
}

// Close without Start is for a node that could not be made.
func TestSampler_CloseBeforeStart(t *testing.T) {
	NewSampler(func() Sample { return Sample{} }).Close()
}

func TestParseTrend_RefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{
		"", " ", "x", "0", "0 1,2,3", "-5 1,2,3", "5000 1,2", "5000 1,2,3,4", "5000 1,,3", "5000 a,2,3", "5000 -1,2,3", "5000 1,2,3 ,,",
		"3600001 1,2,3", "5000 99999999999999999999,2,3", "5000" + strings.Repeat(" 1,2,3", 61), "5000 1,2,3  1,2,3", "5000 9007199254740993,1,1",
	} {
		if got := ParseTrend(text); got != nil {
			t.Errorf("%.40q is %+v", text, got)
		}
	}
	if got := ParseTrend("5000" + strings.Repeat(" 1,2,3", 60)); got == nil || len(got.Sockets) != 60 {
		t.Errorf("a full one is %+v", got)
	}
}

// Whatever stands in Redis: it is refused, or is a trend that can be drawn.
func FuzzParseTrend(f *testing.F) {
	f.Add("5000 12,3,40 12,0,0")
	f.Add("5000")
	f.Fuzz(func(t *testing.T, text string) {
		got := ParseTrend(text)
		if got == nil {
			return
		}
		if n := len(got.Sockets); n != len(got.Events) || n != len(got.Deliveries) || n > trendSamples || got.StepMS <= 0 {
			t.Errorf("%q is %+v", text, got)
		}
		for _, values := range [][]int64{got.Sockets, got.Events, got.Deliveries} {
			for _, v := range values {
				if v < 0 || v > maxTrendValue {
					t.Errorf("%q has %d", text, v)
				}
			}
		}
		if again := ParseTrend(got.Text()); !reflect.DeepEqual(again, got) {
			t.Errorf("%q is %+v, then %+v", text, got, again)
		}
	})
}

// The latest are listed first, and of each host its own, also when others have retired since.
func TestRecent_ListsTheLatestFirst(t *testing.T) {
	var r Recent
	if got := r.list("", 20); got == nil || len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	r.Add("//a.com/1", 1)
	for i := range 150 {
		r.Add("/x", uint64(i+2))
	}
	r.Add("//a.com/2", 200)
	if got := r.list("", 20); len(got) != 20 || got[0].Epoch != 200 || got[19].Epoch != 133 || got[0].Time.IsZero() {
		t.Errorf("list %v", got)
	}
	if got := r.list("//a.com/", 20); len(got) != 2 || got[0].Epoch != 200 || got[1].Epoch != 1 {
		t.Errorf("of a.com: %v", got)
	}
	for i := range 3 * recentKept {
		r.Add("/y", uint64(1000+i))
	}
	if got := r.list("//a.com/", 20); len(got) != 0 {
		t.Errorf("of a.com, long ago: %v", got)
	}
	if got := r.list("", 500); len(got) != recentKept || got[0].Epoch != 1000+3*recentKept-1 {
		t.Errorf("%d are kept", len(got))
	}
}

// A server may be closed by several at once, and its sampler with it.
func TestSampler_ClosedByManyAtOnce(t *testing.T) {
	for range 500 {
		s := NewSampler(func() Sample { return Sample{} })
		s.Start()
		var all sync.WaitGroup
		for range 8 {
			all.Go(s.Close)
		}
		all.Wait()
	}
}
