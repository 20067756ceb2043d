package e2e

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// dockerDNS answers as Docker's embedded DNS does for a service of several
// replicas: with the address of each. deploy/haproxy.cfg finds the nodes by it.
type dockerDNS struct {
	conn *net.UDPConn
	done chan struct{} // closed by serve on its way out

	mu        sync.Mutex // guards addresses; a leaf
	addresses []netip.Addr
}

// startDNS starts the server; the test's end stops it.
func startDNS(t *testing.T) *dockerDNS {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	d := &dockerDNS{conn: conn, done: make(chan struct{})}
	go d.serve()
	t.Cleanup(func() {
		conn.Close()
		<-d.done
	})
	return d
}

func (d *dockerDNS) addr() string { return d.conn.LocalAddr().String() }

func (d *dockerDNS) add(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addresses = append(d.addresses, a)
}

func (d *dockerDNS) remove(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addresses = slices.DeleteFunc(d.addresses, func(b netip.Addr) bool { return a == b })
}

// serve ends with its socket.
func (d *dockerDNS) serve() {
	defer close(d.done)
	buf := make([]byte, 4096)
	for {
		n, from, err := d.conn.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if answer := d.answer(buf[:n]); err == nil && answer != nil {
			_, _ = d.conn.WriteToUDP(answer, from) // who does not hear asks again
		}
	}
}

// answer is the response (RFC 1035, section 4.1) to a query with one question,
// for whatever name: an A record for each address, none of another type.
func (d *dockerDNS) answer(query []byte) []byte {
	const header = 12
	end := header // of the question: its name, type and class
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5
	if end > len(query) {
		return nil
	}
	d.mu.Lock()
	addresses := slices.Clone(d.addresses)
	d.mu.Unlock()
	const typeA = 1
	if binary.BigEndian.Uint16(query[end-4:]) != typeA {
		addresses = nil
	}
	answer := slices.Clone(query[:end])
	answer[2], answer[3] = 0x81, 0x80                                // a response, recursion desired and available
	binary.BigEndian.PutUint16(answer[6:], uint16(len(addresses)))   // #nosec: a handful
	answer[8], answer[9], answer[10], answer[11] = 0, 0, 0, 0        // no other records
	record := []byte{0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 1, 0, 4} // the question's name, class IN, a second to live
	for _, a := range addresses {
		answer = append(append(answer, record...), a.AsSlice()...)
	}
	return answer
}
