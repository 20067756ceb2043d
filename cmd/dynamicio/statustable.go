package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/dynamicio/dynamicio/status"
)

// printReport prints a report as tables, that of one namespace if asked for.
// Names are quoted where a terminal could take them for commands.
func printReport(out io.Writer, r *status.Report, one string) {
	printHead(out, r)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer t.Flush() // out keeps its errors
	if one == "" {
		printNodes(t, r)
		fmt.Fprintln(t)
	}
	printNamespaces(t, r)
	for _, n := range r.Namespaces {
		printDetail(t, r, n)
	}
	switch {
	case one != "" && len(r.Namespaces) == 0:
		fmt.Fprintf(t, "%s is not live\n", plain(one))
	case r.Next != "":
		fmt.Fprintln(t, "... and more: --limit shows them, --search finds one")
	}
	for _, node := range r.Missing {
		fmt.Fprintf(t, "%s did not answer in time: what it has is not shown\n", plain(node))
	}
}

// printHead says in a few lines whether all is well.
func printHead(out io.Writer, r *status.Report) {
	sum := r.Totals
	sockets := count(sum.Sockets, "socket")
	if sum.SilentSockets > 0 {
		sockets += fmt.Sprintf(" (and %d on silent nodes)", sum.SilentSockets)
	}
	fmt.Fprintf(out, "cluster %s at %s, as %s sees it\n", plain(r.Cluster), r.Time.Format(time.DateTime+" MST"), plain(r.Node))
	fmt.Fprintf(out, "%s, %s (%d empty), %s; a second: %.0f events in, %.0f deliveries\n",
		count(sum.Nodes, "node"), count(sum.Namespaces, "namespace"), sum.Empty, sockets,
		sum.EventsPerSecond, sum.DeliveriesPerSecond)
	redis, lease := "Redis does not answer", "nobody holds the lease"
	if r.Redis.OK {
		redis = fmt.Sprintf("Redis answers in %.1f ms", r.Redis.LatencyMS)
	}
	if r.Lease.Holder != "" {
		lease = plain(r.Lease.Holder) + " holds the lease"
		if held := time.Duration(r.Lease.HeldMS) * time.Millisecond; held >= time.Second {
			lease += ", for " + held.Round(time.Second).String()
		}
	}
	if r.Redis.Alone {
		redis, lease = "no Redis", "the node is alone"
	}
	fmt.Fprintf(out, "%s; %s\n", redis, lease)
	for _, problem := range r.Problems {
		fmt.Fprintf(out, "PROBLEM: %s\n", plain(problem))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note: %s\n", plain(note))
	}
	fmt.Fprintln(out)
}

func printNodes(t io.Writer, r *status.Report) {
	fmt.Fprintln(t, "NODE\tADDRESS\tSTATE\tHEARTBEAT\tUP\tNAMESPACES\tSOCKETS\tEVENTS/S\tDELIVERIES/S\tSLOW CLOSED")
	for _, n := range r.Nodes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.1fs ago\t%s\t%d\t%d\t%.0f\t%.0f\t%d\n", plain(n.ID), cmp.Or(plain(n.Address), "-"), n.State(),
			float64(n.HeartbeatAgeMS)/1000, r.Time.Sub(n.Started).Round(time.Second), n.Namespaces, n.Sockets,
			n.EventsPerSecond, n.DeliveriesPerSecond, n.SlowClosed)
	}
}

func printNamespaces(t io.Writer, r *status.Report) {
	fmt.Fprintln(t, "NAMESPACE\tSOCKETS\tON\tRETIRES")
	for _, n := range r.Namespaces {
		on := make([]string, 0, len(n.Nodes))
		for node, sockets := range n.Nodes {
			silent := ""
			if slices.ContainsFunc(r.Nodes, func(n status.Node) bool { return n.ID == node && n.State() == "silent" }) {
				silent = " (silent)"
			}
			on = append(on, fmt.Sprintf("%s:%d%s", plain(node), sockets, silent))
		}
		slices.Sort(on)
		retires := "-"
		switch {
		case n.ExpiresInMS != nil:
			retires = fmt.Sprintf("in %.1fs", float64(max(0, *n.ExpiresInMS))/1000)
		case n.Permanent:
			retires = "never"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", plain(n.FullName), n.Sockets, cmp.Or(strings.Join(on, " "), "-"), retires)
	}
}

// printDetail prints the rooms and sockets of a namespace, if it was asked for them.
func printDetail(t io.Writer, r *status.Report, n status.Namespace) {
	if len(n.Rooms) > 0 {
		fmt.Fprintln(t, "\nROOM\tSOCKETS")
		for _, room := range n.Rooms {
			fmt.Fprintf(t, "%s\t%d\n", plain(room.Name), room.Sockets)
		}
	}
	if len(n.Clients) > 0 {
		fmt.Fprintln(t, "\nSOCKET\tNODE\tADDRESS\tTRANSPORT\tCONNECTED\tROOMS")
		for _, c := range n.Clients {
			rooms := make([]string, len(c.Rooms))
			for i, room := range c.Rooms {
				rooms[i] = plain(room)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s ago\t%s\n", plain(c.ID), plain(c.Node), cmp.Or(plain(c.Address), "-"), plain(c.Transport),
				r.Time.Sub(c.Connected).Round(time.Second), cmp.Or(strings.Join(rooms, " "), "-"))
		}
	}
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// plain is a name as it may stand on a terminal.
func plain(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsGraphic(r) }) {
		return strconv.QuoteToGraphic(s)
	}
	return s
}
