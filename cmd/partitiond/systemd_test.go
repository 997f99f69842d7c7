package main

import (
	"context"
	"io"
	"testing"

	"github.com/partitiond/partitiond/maintenance/systemd/systemdtest"
)

// TestDaemonTellsSystemd follows the daemon from its start through a pass and two
// reloads to its end, as systemd sees it.
func TestDaemonTellsSystemd(t *testing.T) {
	s := systemdtest.Listen(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	c := newCLI(t, "[schedule]\ncron = \"@yearly\"\ntime_zone = \"Asia/Tokyo\"\n"+eventsSet)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"--config", c.file}, io.Discard, io.Discard) }()

	const next = `next pass \d{4}-01-01 00:00 JST`
	s.Await(`^READY=1\nSTATUS=waiting; ` + next + `$`)
	s.Await(`^STATUS=pass over 1 set since \d\d:\d\d:\d\d$|^STATUS=.*; last pass .* JST: done$`)
	s.Await(`^WATCHDOG=1$`)
	reload := func() {
		t.Helper()
		hangUp(t)
		s.Await(`^RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=reading the configuration$`)
	}
	c.write(c.db.URL, "[schedule]\ncron = \"never\"\n"+eventsSet)
	reload()
	s.Await(`^READY=1\nSTATUS=the file is not good, the old configuration stays; waiting; ` + next + `; last pass .* JST: done$|^READY=1\nSTATUS=the file is not good.* pass over`)
	c.write(c.db.URL, "[schedule]\ncron = \"@yearly\"\n"+eventsSet)
	reload()
	s.Await(`^READY=1\nSTATUS=.*next pass \d{4}-01-01 00:00 UTC|^READY=1\nSTATUS=pass over`)

	cancel()
	s.Await(`^STOPPING=1\nSTATUS=stopping: waiting for the current transaction$`)
	if got := <-code; got != exitOK {
		t.Errorf("the daemon exits with %d", got)
	}
}

// While a stop waits for a transaction, the watchdog is still told that all is well.
func TestStoppingIsAlive(t *testing.T) {
	s := systemdtest.Listen(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	c := newCLI(t, "[schedule]\ncron = \"@yearly\"\nstop_timeout = \"1m\"\n[limits]\nlock_timeout = \"1m\"\n"+eventsSet)
	other := c.db.Conn(t)
	if _, err := other.Exec(t.Context(), `BEGIN; LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"--config", c.file}, io.Discard, io.Discard) }()
	s.Await(`^STATUS=pass over 1 set`)
	waiting := `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'public.events'::regclass`
	for c.int(waiting) == 0 {
		s.Await(`^WATCHDOG=1$`)
	}
	cancel()
	s.Await(`^STOPPING=1\n`)
	s.Await(`^WATCHDOG=1$`)
	s.Await(`^WATCHDOG=1$`)
	if _, err := other.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exitOK {
		t.Errorf("the daemon exits with %d", got)
	}
}
