// Package status says what a cluster looks like: the report that programs get
// as JSON, and the page that people look at. It works on snapshots: a [Local]
// has this node's, a [Directory] what Redis knows, and the other nodes answer
// questions about one namespace. It knows neither sockets nor Redis, and holds
// no lock of theirs.
//
// The page is made of fragments, each rendered by a template of its own. It is
// complete as it comes; with its script, a stream of server-sent events has the
// fragments that have changed since, and the script puts them in place. All who see
// the same share one feed, which collects once a second at most and only while
// somebody looks. What changes by the clock alone is not sent: fragments hold
// times, and the script counts.
//
// A token lets people in, by a cookie made from it. Actions want it even where the
// page is public, and a host acts on its own namespaces only. All names are what
// clients chose: they are escaped, set apart from the text around them, and
// those with signs that do not show are spelled out as well.
package status
