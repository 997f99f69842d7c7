package main

import (
	"strings"
	"testing"
)

// A daemon whose next pass is a year away makes the partition of a row that came
// into a default partition, after a reload, too.
func TestDaemonListens(t *testing.T) {
	const set = "[schedule]\ncron = \"@yearly\"\n[[set]]\nparent = \"public.readings\"\nkey = \"at\"\n"
	c := newCLI(t, set)
	c.exec("CREATE TABLE public.readings (id bigint, at timestamptz) PARTITION BY RANGE (at)")
	log, code, cancel := c.daemon()
	defer cancel()
	log.await("the pass ended")

	arrives := func(id, months int) {
		t.Helper()
		c.exec("INSERT INTO public.readings VALUES ($1, now() + $2 * interval '1 month')", id, months)
		// The passes before this one had nothing to make.
		made := log.await("create")["partition"]
		var in string
		if err := c.conn.QueryRow(t.Context(), "SELECT tableoid::regclass FROM public.readings WHERE id = $1", id).Scan(&in); err != nil {
			t.Fatal(err)
		}
		if "public."+in != made || strings.HasSuffix(in, "_default") {
			t.Errorf("the row is in %s, and what was made is %s", in, made)
		}
		log.await("the pass ended")
	}
	arrives(1, 8)
	hangUp(t)
	log.await("read the configuration again")
	arrives(2, 10)

	cancel()
	log.await("stopped")
	if got := <-code; got != exitOK {
		t.Errorf("the daemon exits with %d", got)
	}
}
