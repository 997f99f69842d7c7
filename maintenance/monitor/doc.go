// Package monitor shows what becomes of partition sets: as metrics for Prometheus,
// as health checks, and as a page for people. All of it is for looking at: nothing
// here changes anything, in the database or in the daemon.
//
// What passes do it is told as a [maintenance.Watcher]. What the sets look like it
// sees for itself, but never so often that the looking would be felt.
package monitor
