// Package partition holds the words of partitiond and decides what a pass has
// to do. It is pure: it imports no I/O, reads no clock and knows no SQL. What
// was seen comes in as a [Snapshot], what is wanted as a [Set], and [Make]
// answers with a [Plan], which is data: printable, comparable and inert.
//
// # Times
//
// Two families of keys exist and they are never mixed. A key of type date or
// timestamp without time zone is a wall clock reading: it is represented here
// as a time.Time in UTC whose fields are that reading. A key of type timestamp
// with time zone is an instant, and its periods are reckoned in the set's time
// zone. [Set.Calendar] says which location a set's boundaries live in, and
// [Set.Wall] turns the server's clock into the set's own terms.
package partition
